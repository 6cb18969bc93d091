"""Runs one process guest without a cloud around it."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from localcloud.guests.console import Console
from localcloud.guests.guest import BootPlan, Events
from localcloud.guests.process import ProcessBackend, ProcessGuest


async def no_metadata(instance: str, listener: socket.socket) -> Callable[[], None]:
    """Serve no metadata: accept no connection and only close the socket at the end."""
    del instance
    return listener.close


async def run_to_end(directory: Path, script: str, press: str = "", sandbox: bool = False) -> tuple[str, str]:
    """Run one guest to its end and return the reason of the end and the console output.

    With `press`, press the power button as soon as the console shows that text.
    """
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    events = Events(lambda: None, lambda _: None, lambda reason, _: ended.set_result(reason))
    console = Console(directory / "console.log")
    plan = BootPlan("i-0123456789abcdef0", directory, "ip-172-31-0-9", "172.31.0.9", script.encode(), 1)
    guest = ProcessGuest(ProcessBackend(1, sandbox, False, no_metadata), plan, console, events)
    guest.start()
    if press:
        while press not in console.tail().decode():
            await asyncio.sleep(0.02)
        guest.power_button()
    return await asyncio.wait_for(ended, 20), console.tail().decode()
