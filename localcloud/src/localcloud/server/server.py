"""The running cloud: MiniStack under hypercorn on one loopback socket, with our own parts put into it.

Nothing of the command line lives here, and nothing of a single service.
"""

import asyncio
import contextlib
import importlib
import importlib.util
import json
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from localcloud.cloud.clock import TurnableClock
from localcloud.cloud.facts import Cloud, Machines, Response
from localcloud.ministack import loading, requests
from localcloud.ministack.object_files import repair_objects
from localcloud.ministack.store import Store
from localcloud.server.callers import is_ours
from localcloud.server.controls import Controls
from localcloud.services import parameters, stacks
from localcloud.services.events import targets
from localcloud.services.events.rules import Rules
from localcloud.services.functions.events import Events
from localcloud.services.functions.execution import Functions
from localcloud.services.iam import authorization, roles
from localcloud.services.s3 import handler as s3
from localcloud.services.scheduler.api import Api
from localcloud.services.scheduler.engine import Engine
from localcloud.services.scheduler.store import Schedules

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_OWN_PATHS = "/_localcloud/"
# MiniStack's own controls ask nobody who they are, and one of them wipes everything.
_CLOSED = ("/_ministack/", "/_localstack/", "/_aws/")
_OPEN = ("/_ministack/cfn-response/", "/_ministack/cfn-signal/")
_JSON = {"Content-Type": "application/json"}
_GRACE = 0.5


class Server:
    """One cloud in this process, from the bound socket to the last guest's end."""

    def __init__(self, cloud: Cloud, listener: socket.socket, clock: TurnableClock) -> None:
        self.cloud = cloud
        self._listener = listener
        repair_objects(cloud.state)
        loading.load(cloud)
        schedules = Schedules()
        self._store = Store(cloud.state, cloud.port, {"scheduler": schedules})
        self._store.restore()
        self._end = asyncio.Event()
        authorization.install(cloud.access_key)
        self._races = s3.install(cloud.state)
        self._controls = Controls(clock, self._races)
        self._functions = Functions(cloud)
        self._events = Events(cloud)
        self._scheduling = Engine(cloud, schedules)
        self._rules = Rules(cloud)
        self._follow(clock)
        api = Api(cloud, schedules)
        api.install()
        stacks.install(api)
        parameters.install()
        targets.install()
        self.machines = _machines(cloud)
        if self.machines is not None:
            requests.replace_handler("ec2", _ec2_handler(self.machines, requests.handler("ec2")))
        self._store.watch()

    async def run(self, ready: Callable[[dict[str, Any]], None], ending: Callable[[], None]) -> None:
        """Serve until told to end.

        `ready` is called once with the facts when the endpoint answers, `ending` once when it begins not to.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._end.set)
        try:
            if self.machines is not None:
                await self.machines.start()
            going = [asyncio.ensure_future(part) for part in self._parts()]
            await self._serve(ready, ending)
            for task in going:
                task.cancel()
        finally:
            self._events.close()
            self._functions.close()
            self._store.write(everything=True)
            if self.machines is not None:
                await self.machines.close()

    def end_with_parent(self, descriptor: int) -> None:
        """End this cloud when `descriptor` (the caller's pipe) reaches its end."""
        loop = asyncio.get_running_loop()

        def watch() -> None:
            with contextlib.suppress(OSError):
                while os.read(descriptor, 4096):
                    pass
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end.set)

        threading.Thread(target=watch, name="parent-pipe", daemon=True).start()

    def facts(self) -> dict[str, Any]:
        """What `up` and `status` say of this cloud."""
        said = {
            "endpoint": self.cloud.endpoint,
            "pid": os.getpid(),
            "account": self.cloud.account,
            "region": self.cloud.region,
            "state": str(self.cloud.state),
        }
        if self._store.trouble is not None:
            said["trouble"] = self._store.trouble
        return said | (self.machines.describe() if self.machines is not None else {"guests": "none"})

    def _parts(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return self._scheduling.run(), self._rules.run(), self._store.run()

    def _follow(self, clock: TurnableClock) -> None:
        """Everything that goes by the cloud's clock also when a test turns it."""
        clock.attend(self._scheduling)
        clock.attend(self._rules)

        def changed(moved: float) -> None:
            if moved < 0:
                self._scheduling.turned_back()
                self._rules.turned_back()
                self._events.turned_back(moved)
            else:
                roles.expire_earlier(moved)

        clock.on_change(changed)

    async def _serve(self, ready: Callable[[dict[str, Any]], None], ending: Callable[[], None]) -> None:
        config = Config()
        config.bind = [f"fd://{self._listener.fileno()}"]
        config.keep_alive_timeout = 75
        config.graceful_timeout = _GRACE
        config.loglevel = "WARNING"
        config.accesslog = None
        started = asyncio.Event()
        application = requests.application()

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await application(scope, receive, _tell(send, started))
            elif scope["type"] == "http" and scope["path"].startswith(_OWN_PATHS):
                await self._own(scope, receive, send)
            elif scope.get("path", "").startswith(_CLOSED) and not scope["path"].startswith(_OPEN):
                await _send(send, (403, dict(_JSON), b'{"error": "not served here"}'))
            else:
                with self._races.under_way():
                    await application(scope, receive, send)

        async def ended() -> None:
            await self._end.wait()
            ending()
            # A request that waits for a function would otherwise hold the end up until the function's own.
            self._events.close()
            self._functions.close()

        serving = asyncio.ensure_future(serve(app, config, shutdown_trigger=ended))  # type: ignore[arg-type]
        waiting = asyncio.ensure_future(started.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
        else:
            self._events.resume()
            ready(self.facts())
        await serving

    async def _own(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer the paths under /_localcloud/: `status`, and the controls of the parts."""
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        path = scope["path"]
        answer: Response = (404, dict(_JSON), b'{"error": "no such control"}')
        if is_ours(scope["client"][1], self.cloud.port):
            answer = (403, dict(_JSON), b'{"error": "controls are not for guests and functions"}')
        elif path == "/_localcloud/status":
            answer = (200, dict(_JSON), json.dumps(self.facts()).encode())
        elif path.startswith("/_localcloud/ec2/") and self.machines is not None:
            answer = await self.machines.control(scope["method"], path, body)
        else:
            answer = await self._controls.handle(scope["method"], path.removeprefix(_OWN_PATHS), body) or answer
        await _send(send, answer)


async def _send(send: Send, answer: Response) -> None:
    status, headers, content = answer
    lines = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content})


def _tell(send: Send, started: asyncio.Event) -> Send:
    async def told(message: Message) -> None:
        await send(message)
        if message["type"] == "lifespan.startup.complete":
            started.set()

    return told


def _machines(cloud: Cloud) -> Machines | None:
    if importlib.util.find_spec("localcloud.ec2") is None:
        return None
    attach = getattr(importlib.import_module("localcloud.ec2"), "attach", None)
    if attach is None:
        return None
    machines: Machines = attach(cloud)
    return machines


def _ec2_handler(machines: Machines, otherwise: Any) -> Any:
    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        answer = await machines.handle(method, path, headers, body, query)
        return answer if answer is not None else await otherwise(method, path, headers, body, query)

    return handle
