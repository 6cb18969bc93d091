"""For every test: no connection to another machine, no settings of the user, and the order in which test files run."""

from __future__ import annotations

import ipaddress
import os
import sys

import pytest

ALLOWED = {"localhost", ""}


def _guard(event: str, arguments: tuple) -> None:
    """Raise on any connection of this process to another machine, unless the test asks a real account.

    (Package clients that build bundles are separate processes.)
    """
    if event != "socket.connect":
        return
    address = arguments[1]
    if not isinstance(address, tuple):  # a Unix socket
        return
    host = str(address[0])
    if host in ALLOWED or os.environ.get("DAYFLY_TEST_AWS") == "1":
        return
    try:
        inside = ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise RuntimeError(f"a test tried to reach {host}; tests talk to this machine only")


sys.addaudithook(_guard)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run vm files first, then slow ones: a slow file that started last would keep one process busy alone at the end.

    pytest-xdist distributes by file (`--dist loadfile`), so that a file's fixtures are created once.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    vm = {item.path for item in items if item.get_closest_marker("vm")}
    items.sort(key=lambda item: (item.path not in vm, item.path not in slow))


@pytest.fixture(autouse=True)
def no_user_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove AWS and dayfly variables of the user's environment."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "DAYFLY_")) and name != "DAYFLY_TEST_AWS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
