"""What holds for every test: nothing leaves this machine, and no setting of the user's leaks in."""

from __future__ import annotations

import ipaddress
import os
import sys

import pytest

ALLOWED = {"localhost", ""}


def _guard(event: str, arguments: tuple) -> None:
    """Any connection of this process to another machine raises, but where a real account is asked for.

    (Package clients that build bundles are processes of their own.)
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
    """Processes take the tests by file, so that what a file's tests share is made once. Those that wait longest come
    first, or a process would wait for them alone at the end; machine guests one after the other, for each takes a core."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    vm = {item.path for item in items if item.get_closest_marker("vm")}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("vm" if item.path in vm else str(item.path)))
    items.sort(key=lambda item: (item.path not in vm, item.path not in slow))


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """No AWS or dayfly variable of the user's environment reaches a test."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "DAYFLY_")) and name != "DAYFLY_TEST_AWS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
