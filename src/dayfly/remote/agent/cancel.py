"""Watch for cancel.json, by which a person ends the run, and let what is going on stop for it.

What a cancelled run keeps, and its outcome, is decided in outcome.py.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import Callable, TypeVar

from dayfly.remote.agent.outcome import Cancelled
from dayfly.remote.boot import s3, web
from dayfly.remote.boot.names import say

LOOK_S = 5.0
_Value = TypeVar("_Value")


class Watch:
    """Looks for the object `key` every few seconds, from now on."""

    def __init__(self, bucket: s3.Bucket, key: str, every: float = LOOK_S) -> None:
        self._bucket, self._key, self._every = bucket, key, every
        self._asked = threading.Event()
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def asked(self) -> bool:
        """Return whether the run is cancelled."""
        return self._asked.is_set()

    def end(self) -> None:
        """Look no more: nothing is left to stop."""
        self._over.set()

    def unless_asked(self, act: Callable[[], _Value]) -> _Value:
        """Return what `act` returns. Raises Cancelled as soon as the run is cancelled; `act` is then left to itself."""
        future: Future[_Value] = Future()

        def run() -> None:
            try:
                future.set_result(act())
            except BaseException as problem:  # raised again on the thread that waits
                future.set_exception(problem)

        threading.Thread(target=run, daemon=True).start()
        while not self.asked():
            if wait([future], 0.1).done:
                return future.result()
        raise Cancelled

    def _look(self) -> None:
        while not self._over.is_set():
            try:
                if self._bucket.send("GET", self._key)[0] == 200:  # 403 or 404: nobody cancelled
                    say("cancelled by a person")
                    self._asked.set()
                    return
            except web.FAILURES as problem:
                say(f"cancel: {problem!r}")
            self._over.wait(self._every)
