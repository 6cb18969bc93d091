"""The cloud's own paths under /_localcloud/: what a test or a person orders of it. Never for guests and functions.

    GET    clock           {"now": "2026-11-24T02:30:00.000000+00:00", "offset": seconds}
    POST   clock           {"advance": seconds} -> the same, and "moments", "settled" (see clock.Turned)
    DELETE clock           back to the machine's time
    GET    s3/conflicts    {"left": [{"count": n, "key": pattern}, ...]}
    POST   s3/conflicts    {"count": n, "key": pattern (`*` and `?`; every key without one)}
    DELETE s3/conflicts    none any more

Who may use them is the server's to see; `status` and the controls of EC2 are answered there too.
"""

import json
from typing import Any

from localcloud.cloud.clock import TurnableClock
from localcloud.cloud.facts import Response
from localcloud.services.s3.races import Races

_MOST_SECONDS = 400 * 86400.0
_MOST_CONFLICTS = 1_000_000


class Controls:
    """Answers the paths above."""

    def __init__(self, clock: TurnableClock, races: Races) -> None:
        self._clock = clock
        self._races = races

    async def handle(self, method: str, path: str, body: bytes) -> Response | None:
        """Answer a request for `path` below /_localcloud/, or None when it is no path of these."""
        try:
            said = json.loads(body) if body else {}
        except ValueError:
            return _answer(400, {"error": "the body is not JSON"})
        if path == "clock":
            return await self._turn(method, said)
        if path == "s3/conflicts":
            return self._conflicts(method, said)
        return None

    async def _turn(self, method: str, said: Any) -> Response:
        more: dict[str, Any] = {}
        if method == "POST":
            seconds: Any = said.get("advance") if isinstance(said, dict) else None
            if type(seconds) not in (int, float) or not 0 < seconds <= _MOST_SECONDS:
                return _answer(400, {"error": f"advance is a number of seconds above 0, at most {_MOST_SECONDS:g}"})
            turned = await self._clock.turn(float(seconds))
            more = {"moments": turned.moments, "settled": turned.settled}
        elif method == "DELETE":
            self._clock.reset()
        elif method != "GET":
            return _answer(405, {"error": "GET, POST or DELETE"})
        return _answer(200, {"now": self._clock.now().isoformat(), "offset": self._clock.offset} | more)

    def _conflicts(self, method: str, said: Any) -> Response:
        if method == "POST":
            count: Any = said.get("count") if isinstance(said, dict) else None
            key = said.get("key", "*") if isinstance(said, dict) else None
            if type(count) is not int or not 0 < count <= _MOST_CONFLICTS or not isinstance(key, str):
                return _answer(400, {"error": "count is a whole number above 0, key a pattern of keys"})
            self._races.order(count, key)
        elif method == "DELETE":
            self._races.forget_orders()
        elif method != "GET":
            return _answer(405, {"error": "GET, POST or DELETE"})
        return _answer(200, {"left": [{"count": count, "key": key} for key, count in self._races.ordered]})


def _answer(status: int, said: dict[str, Any]) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(said).encode()
