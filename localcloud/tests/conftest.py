"""Rules for every test: no connection leaves this machine, and no AWS setting of the user reaches a test.

Also the fixtures that start a local cloud.
"""

import ipaddress
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from running_cloud import Running, begin, command

# Read at import: during a test the variables of the environment are removed.
REAL_ACCOUNT = os.environ.get("LOCALCLOUD_TEST_AWS") == "1"
_running = False


def _refuse_other_machines(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise when a test of this folder connects to another machine, unless a real account was asked for."""
    if event != "socket.connect" or not _running or REAL_ACCOUNT:
        return
    address = arguments[1]
    is_unix_socket = not isinstance(address, tuple)
    if is_unix_socket or _is_this_machine(str(address[0])):
        return
    raise RuntimeError(f"a test tried to reach {address[0]}; tests connect to this machine only")


def _is_this_machine(host: str) -> bool:
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


sys.addaudithook(_refuse_other_machines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Guard connections only while a test of this folder runs; other folders have their own rules."""
    del item
    global _running
    _running = True
    try:
        return (yield)
    finally:
        _running = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group and order the tests for xdist.

    The tests of one file share fixtures, so they run in one process. Tests of QEMU guests run one after another, because each
    takes a core. Slow files start first, so that no process waits for one of them at the end.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    vm = {item.path for item in items if item.get_closest_marker("vm")}
    for item in items:
        group = "vm" if item.path in vm else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (item.path not in vm, item.path not in slow))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the user's settings for AWS from the environment."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A running cloud for all tests of a file."""
    running = begin(tmp_path_factory.mktemp("cloud") / "state")
    yield running
    command(running.directory, "down")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """A function that starts (or restarts) the cloud of one test, with options of `up`."""
    yield lambda *options: begin(tmp_path / "state", *options)
    command(tmp_path / "state", "down")
