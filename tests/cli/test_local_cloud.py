"""The kinds of local servers and the demo's faults. A refusal comes before anything starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dayfly.cli import faults, local_cloud
from dayfly.errors import FileError
from dayfly.project.file import config


def dayfly(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dayfly", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def cloud(**facts: str) -> local_cloud.LocalCloud:
    return local_cloud.LocalCloud(state=Path("x"), endpoint="http://127.0.0.1:1", keys=("a", "b"), facts=facts)


@pytest.mark.parametrize("fault", ["panic", "reboot"])
@pytest.mark.parametrize("asked", [(), ("--guest", "process")])
def test_kernel_fault_in_a_process_guest_is_refused(tmp_path, fault, asked):
    done = dayfly(tmp_path, "demo", "--break", fault, *asked)
    assert done.returncode == 2
    assert f"dayfly demo --break {fault} --guest vm" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_guest_option_without_local_is_refused(tmp_path):
    (tmp_path / "dayfly.toml").write_text(
        'project = "lake"\nregions = ["eu-west-1"]\n[jobs.a]\ncommand = "true"\nservers = ["c8g.large"]\n'
    )
    done = dayfly(tmp_path, "run", "a", "--guest", "vm")
    assert done.returncode == 2
    assert "--local" in done.stderr


def test_running_cloud_must_have_the_wanted_guest():
    running = cloud(guests="vm")
    local_cloud.require_guest(running, "vm")
    local_cloud.require_guest(running, None)
    with pytest.raises(FileError, match="vm guests, not process") as refused:
        local_cloud.require_guest(running, "process")
    assert "dayfly local down" in refused.value.hint


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"guests": "process"}, "not virtual machines"),
        ({"guests": "vm", "accelerator": "kvm"}, "QEMU with KVM"),
        ({"guests": "vm", "accelerator": "tcg"}, "emulated"),
    ],
)
def test_first_line_says_what_servers_are(facts, words):
    assert words in cloud(**facts).guest_description


FAULTS_OF_GUESTS = [(fault, guest) for fault, one in faults.FAULTS.items() for guest in one.jobs]


@pytest.mark.parametrize(("fault", "guest"), FAULTS_OF_GUESTS)
def test_every_fault_is_a_job_of_a_valid_project(fault, guest):
    faults.refuse(fault, guest)
    job = config.read(faults.file(fault, guest), zones=ZoneInfo, allow_short_margin=True).jobs["pi"]
    assert job.command == faults.FAULTS[fault].jobs[guest][0]
    assert (job.setup or "") == faults.FAULTS[fault].jobs[guest][1]
    assert guest == local_cloud.VM or not job.setup, "a process guest refuses setup"


def test_failed_image_build_is_reported_with_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LOCALCLOUD_CACHE", str(tmp_path / "cache"))
    done = dayfly(tmp_path, "local", "up", "--guest", "vm")
    assert done.returncode != 0
    assert done.stderr.startswith("error    the local cloud: ")
    assert "do       " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("fault", "ended_by", "expected"),
    [
        ("agent", "switch: agent gone", True),
        ("agent", "agent: the job was over", False),
        ("hang", "agent: the job's time limit", True),
        ("hang", "agent: the job was over", False),
        ("panic", "switch: second boot", True),
        ("panic", "agent: the job's time limit", False),
        ("reboot", "kill schedule", True),
    ],
)
def test_fault_happened_is_judged_by_what_ended_the_server(fault: str, ended_by: str, expected: bool) -> None:
    assert faults.happened(fault, ended_by) is expected
