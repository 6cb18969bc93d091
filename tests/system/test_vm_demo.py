"""The demo on vm guests: started by its schedule, and with a kernel that panics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.vm, pytest.mark.cloud, pytest.mark.slow]
LONG_S = 900
"""An emulated machine on a busy host takes minutes to boot, and one of these tests boots it twice."""


def dayfly(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dayfly", *words],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LONG_S,
        check=False,
    )


def document(folder: Path, *words: str) -> dict[str, Any]:
    done = dayfly(folder, *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder whose local cloud has vm guests."""
    place = tmp_path_factory.mktemp("machines")
    up = dayfly(place, "local", "up", "--guest", "vm")
    assert up.returncode == 0, up.stdout + up.stderr
    yield place
    dayfly(place, "local", "down")
    assert machines_of(place) == []


def machines_of(place: Path) -> list[str]:
    """Return command lines of QEMU processes that name the folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if words.startswith("qemu-system") and str(place) in words:
            found.append(words)
    return found


def test_scheduled_run_on_a_vm_guest_leaves_no_machine(folder: Path) -> None:
    run = document(folder, "demo", "--guest", "vm", "--seconds", "3")
    assert run["outcome"] == "succeeded"
    assert run["tick"]["source"] == "schedule"
    assert run["digits"] >= 1000  # the least that pie ever writes
    assert run["servers_left"] == 0
    assert run["receipt"]["server"]["ended_by"] == "agent: the job was over"
    ran_on = run["receipt"]["ran_on"]
    image = document(folder, "local", "status")
    assert ran_on["machine"] == image["architecture"]
    assert ran_on["python"].startswith(image["interpreter"].removeprefix("python ") + ".")
    assert (folder / run["result"]).read_bytes().startswith(b"3.14159")
    assert machines_of(folder) == []


def test_switch_ends_the_server_after_a_kernel_panic(folder: Path) -> None:
    run = document(folder, "demo", "--break", "panic")
    assert run["outcome"] == "failed"
    assert run["reason"] == "lost"
    assert run["ended_by"] == "switch: second boot"
    assert run["as_promised"] is True
    assert run["servers_left"] == 0
    assert run["times"]["job_started"] is not None
    assert machines_of(folder) == []


def test_status_shows_accelerator_and_image(folder: Path) -> None:
    shown = dayfly(folder, "local", "status").stdout
    facts = document(folder, "local", "status")
    assert facts["running"] is True
    assert f"machine  QEMU with {facts['accelerator']} ({facts['accelerator_why']})" in shown
    assert f"image    Debian 13, {facts['image']}" in shown


def test_demo_with_another_guest_kind_is_refused(folder: Path) -> None:
    done = dayfly(folder, "demo", "--guest", "process")
    assert done.returncode == 2
    assert "vm guests, not process" in done.stderr
    assert "dayfly local down" in done.stderr
