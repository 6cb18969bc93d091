"""What servers of the local cloud are: asked for by one word, refused where that can not be, before anything is started."""

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


@pytest.mark.parametrize("way", ["panic", "reboot"])
@pytest.mark.parametrize("asked", [(), ("--guest", "process")])
def test_a_process_has_no_kernel_to_panic_and_nothing_is_started(tmp_path, way, asked):
    done = dayfly(tmp_path, "demo", "--break", way, *asked)
    assert done.returncode == 2
    assert f"dayfly demo --break {way} --guest vm" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_guest_without_local_is_refused(tmp_path):
    (tmp_path / "dayfly.toml").write_text(
        'project = "lake"\nregions = ["eu-west-1"]\n[jobs.a]\ncommand = "true"\nservers = ["c8g.large"]\n'
    )
    done = dayfly(tmp_path, "run", "a", "--guest", "vm")
    assert done.returncode == 2
    assert "--local" in done.stderr


def test_a_cloud_that_runs_fits_when_its_servers_are_of_that_kind_or_of_any():
    running = cloud(guests="vm")
    assert local_cloud.require_guest(running, "vm") is running
    assert local_cloud.require_guest(running, None) is running
    assert local_cloud.require_guest(None, "vm") is None
    with pytest.raises(FileError, match="vm guests, not process") as refused:
        local_cloud.require_guest(running, "process")
    assert "dayfly local down" in refused.value.hint


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"guests": "process"}, "not virtual machines"),
        ({"guests": "vm", "accelerator": "kvm"}, "QEMU with KVM"),
        ({"guests": "vm", "accelerator": "tcg"}, "emulated"),
    ],
)
def test_the_first_line_of_a_screen_says_guest_description(facts, said):
    assert said in cloud(**facts).guest_description


WAYS = [(way, guest) for way, one in faults.FAULTS.items() for guest in one.jobs]


@pytest.mark.parametrize(("way", "guest"), WAYS)
def test_every_way_to_break_a_server_is_a_job_of_a_valid_project(way, guest):
    faults.refuse(way, guest)
    job = config.read(faults.file(way, guest), zones=ZoneInfo, allow_short_margin=True).jobs["pi"]
    assert job.command == faults.FAULTS[way].jobs[guest][0]
    assert (job.setup or "") == faults.FAULTS[way].jobs[guest][1]
    assert guest == local_cloud.VM or not job.setup, "a process guest refuses setup"


def test_an_image_that_can_not_be_made_is_told_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LOCALCLOUD_CACHE", str(tmp_path / "cache"))
    done = dayfly(tmp_path, "local", "up", "--guest", "vm")
    assert done.returncode != 0
    assert done.stderr.startswith("error    the local cloud: ")
    assert "do       " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("way", "ended_by", "proved"),
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
def test_a_demo_in_which_nothing_broke_is_no_proof(way: str, ended_by: str, proved: bool) -> None:
    assert faults.happened(way, ended_by) is proved
