"""The running cloud: MiniStack under hypercorn on one loopback socket, with localcloud's parts put into it.

The answers of services and the command line do not belong here.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from localcloud.cloud.clock import AdjustableClock
from localcloud.cloud.facts import Cloud, Response
from localcloud.ec2 import attach
from localcloud.ministack import loading, requests
from localcloud.ministack.object_files import repair_objects
from localcloud.ministack.requests import Handler
from localcloud.ministack.store import Store
from localcloud.server.callers import started_here
from localcloud.server.controls import Controls
from localcloud.services import parameters
from localcloud.services.events import targets
from localcloud.services.events.rules import Rules
from localcloud.services.functions import runtimes
from localcloud.services.functions.events import EventQueue
from localcloud.services.functions.execution import Functions
from localcloud.services.iam import assume, authorization, customer_keys, principals, roles
from localcloud.services.s3 import handler as s3
from localcloud.services.s3.names import BucketNames
from localcloud.services.scheduler.api import Api
from localcloud.services.scheduler.engine import Engine
from localcloud.services.scheduler.store import Schedules
from localcloud.services.stacks import requests as stack_requests
from localcloud.services.stacks import resource_types
from localcloud.services.stacks.failures import Failures
from localcloud.services.topics import Mailbox

Facts = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_CONTROL_PATHS = "/_localcloud/"
# MiniStack's own control paths check no credentials, and one of them deletes everything.
_CLOSED = ("/_ministack/", "/_localstack/", "/_aws/")
_OPEN = ("/_ministack/cfn-response/", "/_ministack/cfn-signal/")
_GRACE = 0.5


class Server:
    """One cloud in this process, from the bound socket to the last guest's end."""

    def __init__(self, cloud: Cloud, listener: socket.socket, clock: AdjustableClock) -> None:
        self.cloud = cloud
        self._listener = listener
        self._end = asyncio.Event()
        repair_objects(cloud.state)
        loading.load(cloud)
        schedules = Schedules()
        self._store = Store(cloud.state, cloud.port, {"scheduler": schedules})
        self._store.restore()
        authorization.install(cloud.access_key)
        assume.install()
        customer_keys.install()
        principals.install()
        names, failures, mailbox = BucketNames(clock), Failures(), Mailbox()
        self._races = s3.install(cloud.state, names)
        self._controls = Controls(clock, self._races, names, failures, mailbox)
        runtimes.install()
        self._functions = Functions(cloud)
        self._event_queue = EventQueue(cloud)
        self._engine = Engine(cloud, schedules)
        self._rules = Rules(cloud)
        self._follow(clock)
        api = Api(cloud, schedules)
        api.install()
        resource_types.install(api, names, failures, mailbox)
        mailbox.install()
        stack_requests.install(cloud.port)
        parameters.install()
        targets.install(cloud)
        self._ec2 = attach(cloud)
        requests.replace_handler("ec2", self._ec2_or(requests.handler("ec2")))
        # Last, so that it surrounds every handler.
        self._store.watch()

    async def run(self, ready: Callable[[Facts], None], ending: Callable[[], None]) -> None:
        """Serve until told to end.

        `ready` is called once with the facts when the endpoint answers, `ending` once when it stops answering.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._end.set)
        try:
            await self._ec2.start()
            loops = [asyncio.ensure_future(part) for part in self._loops()]
            await self._serve(ready, ending)
            for task in loops:
                task.cancel()
        finally:
            self._event_queue.close()
            self._functions.close()
            self._store.write(everything=True)
            await self._ec2.close()

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

    def facts(self) -> Facts:
        """Return what `up` and `status` report of this cloud."""
        facts = {
            "endpoint": self.cloud.endpoint,
            "pid": os.getpid(),
            "account": self.cloud.account,
            "region": self.cloud.region,
            "state": str(self.cloud.state),
        }
        if self._store.trouble is not None:
            facts["trouble"] = self._store.trouble
        return facts | self._ec2.describe()

    def _loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return self._engine.run(), self._rules.run(), self._store.run()

    def _follow(self, clock: AdjustableClock) -> None:
        """Register everything that must react when a test moves the cloud's clock."""
        clock.add_source(self._engine)
        clock.add_source(self._rules)

        def changed(moved: float) -> None:
            if moved < 0:
                self._engine.set_back()
                self._rules.set_back()
                self._event_queue.set_back(moved)
            else:
                roles.expire_earlier(moved)

        clock.on_change(changed)

    def _ec2_or(self, ministack: Handler) -> Handler:
        """Return a handler that answers with localcloud's EC2, and with MiniStack's where localcloud's returns None."""

        async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
            answer = await self._ec2.handle(method, path, headers, body, query)
            if answer is None:
                return await ministack(method, path, headers, body, query)
            return answer

        return handle

    async def _serve(self, ready: Callable[[Facts], None], ending: Callable[[], None]) -> None:
        started = asyncio.Event()

        async def stop() -> None:
            await self._end.wait()
            ending()
            # Otherwise the cloud would not end while a request waits for a function.
            self._event_queue.close()
            self._functions.close()

        app: Any = self._application(started)
        serving = asyncio.ensure_future(serve(app, self._config(), shutdown_trigger=stop))
        waiting = asyncio.ensure_future(started.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            self._event_queue.resume()
            ready(self.facts())
        else:
            waiting.cancel()
        await serving

    def _config(self) -> Config:
        config = Config()
        config.bind = [f"fd://{self._listener.fileno()}"]
        config.keep_alive_timeout = 75
        config.graceful_timeout = _GRACE
        config.loglevel = "WARNING"
        config.accesslog = None
        return config

    def _application(self, started: asyncio.Event) -> Any:
        """Return the ASGI application: the control paths, and MiniStack; `started` is set when that answers."""
        ministack = requests.application()

        async def application(scope: Any, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            if scope["type"] == "lifespan":
                await ministack(scope, receive, _set_when_started(send, started))
            elif scope["type"] == "http" and path.startswith(_CONTROL_PATHS):
                await _send(send, await self._control(scope, await _body(receive)))
            elif path.startswith(_CLOSED) and not path.startswith(_OPEN):
                await _send(send, _json(403, {"error": "not served here"}))
            else:
                with self._races.under_way():
                    await ministack(scope, receive, send)

        return application

    async def _control(self, scope: Any, body: bytes) -> Response:
        """Answer a control path: `status`, those of EC2, and those in controls.py."""
        path, method = scope["path"], scope["method"]
        if started_here(scope["client"][1], self.cloud.port):
            return _json(403, {"error": "controls are not for guests and functions"})
        if path == "/_localcloud/status":
            return _json(200, self.facts())
        if path.startswith("/_localcloud/ec2/"):
            return await self._ec2.control(method, path, body)
        answer = await self._controls.handle(method, path.removeprefix(_CONTROL_PATHS), body)
        return answer or _json(404, {"error": "no such control"})


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _send(send: Send, answer: Response) -> None:
    status, headers, content = answer
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content})


def _json(status: int, document: Facts) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _set_when_started(send: Send, started: asyncio.Event) -> Send:
    async def sent(message: Message) -> None:
        await send(message)
        if message["type"] == "lifespan.startup.complete":
            started.set()

    return sent
