"""Starts and ends the local cloud of a folder: `python -m localcloud` as a process of its own. Nothing of it is imported here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dayfly.errors import FileError, SupplyError

PROCESS, VM = "process", "vm"
STATE = Path(".dayfly/cloud")
REGION = "eu-west-1"
"""Used where no dayfly.toml names a region."""


@dataclass(frozen=True, kw_only=True)
class LocalCloud:
    """A local cloud that runs: its endpoint, an administrator's keys, and its own facts (guests, architecture, Python)."""

    state: Path
    endpoint: str
    keys: tuple[str, str]
    facts: dict[str, Any]
    started_here: bool = False

    @property
    def account(self) -> str:
        return str(self.facts["account"])

    @property
    def guests(self) -> str:
        """What its servers are: `process` or `vm`."""
        return str(self.facts["guests"])

    @property
    def guest_description(self) -> str:
        """In words, for the first line of a screen."""
        if self.guests == PROCESS:
            return "servers are sandboxed processes here, not virtual machines"
        how = "QEMU with KVM" if self.facts.get("accelerator") == "kvm" else "QEMU, its processors emulated"
        return f"servers are virtual machines here ({how})"

    @property
    def machine(self) -> str:
        """Architecture of what really runs: x86_64 or aarch64."""
        return str(self.facts["architecture"])

    @property
    def python(self) -> str:
        """Python that really runs in a guest: `3.11`."""
        return str(self.facts["interpreter"]).removeprefix("python ")


def running(folder: Path) -> LocalCloud | None:
    """The local cloud of this folder, if it runs."""
    if not (folder / STATE).is_dir():
        return None
    told = _call(folder, "status", "--json")
    facts = json.loads(told.stdout or "{}")
    return _local_cloud(folder, facts) if facts.get("running") else None


def require_guest(cloud: LocalCloud | None, guest: str | None) -> LocalCloud | None:
    """The same, if its servers are of that kind (None: of any). Raises FileError when they are of the other."""
    if cloud is not None and guest is not None and cloud.guests != guest:
        raise FileError(
            f"a local cloud runs here whose servers are {cloud.guests} guests, not {guest}",
            hint="dayfly local down, then the same again",
        )
    return cloud


def up(folder: Path, region: str, *, internet: bool = False, guest: str | None = None) -> LocalCloud:
    """Starts a local cloud that lives on; or finds the one that does. Raises SupplyError with its own words, FileError when one
    runs whose servers are of another kind."""
    _installed()
    there = require_guest(running(folder), guest)
    if there is None:
        _prepare(guest or PROCESS)
    said = ["--guests", there.guests if there else guest or PROCESS, *(["--internet"] if internet else [])]
    told = _call(folder, "up", "--json", "--region", region, *said)
    started = _local_cloud(folder, _facts(told.stdout, told.stderr))
    require_guest(started, guest)
    return started


def _prepare(guest: str) -> None:
    """What such servers are made from; an image is built once, and its progress is seen. Raises SupplyError with its own words."""
    if guest == VM:
        made = subprocess.run(
            [sys.executable, "-m", "localcloud", "image", "--json"],
            stdout=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        _facts(made.stdout, "its guest image could not be made")


class Held:
    """A local cloud that ends with this process, however that ends: it holds the other end of a pipe."""

    def __init__(self, folder: Path, region: str, *, ticks: bool = False, guest: str = PROCESS) -> None:
        """`ticks`: whether schedules fire by themselves. Not in a cloud that is up for one command: it would take their servers along."""
        _installed()
        _prepare(guest)
        command = [*_command(folder, "up"), "--foreground", "--parent-pipe", "--json", "--region", region]
        command += ["--guests", guest, *([] if ticks else ["--no-recurring"])]
        self.folder = folder
        (folder / STATE).mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> LocalCloud:
        assert self.process.stdout is not None
        return _local_cloud(self.folder, _facts(self.process.stdout.readline(), ""), started_here=True)

    def __exit__(self, *_error: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def down(folder: Path) -> bool:
    """Ends it and all it started; False when none ran."""
    _installed()
    told = _call(folder, "down", "--json")
    return bool(_facts(told.stdout, told.stderr).get("ended"))


def exports(folder: Path) -> str:
    """Shell exports for AWS clients, as the local cloud prints them. Raises SupplyError when none runs."""
    _installed()
    told = _call(folder, "env")
    if told.returncode != 0:
        raise SupplyError("no local cloud runs here", hint="dayfly local up")
    return told.stdout


def _local_cloud(folder: Path, facts: dict[str, Any], *, started_here: bool = False) -> LocalCloud:
    exported = dict(
        line.removeprefix("export ").split("=", 1)
        for line in exports(folder).splitlines()
        if line.startswith("export ")
    )
    return LocalCloud(
        state=folder / STATE,
        endpoint=facts["endpoint"],
        keys=(exported["AWS_ACCESS_KEY_ID"], exported["AWS_SECRET_ACCESS_KEY"]),
        facts=facts,
        started_here=started_here,
    )


def _command(folder: Path, command: str) -> list[str]:
    return [sys.executable, "-m", "localcloud", command, "--state", str(folder / STATE)]


def _call(folder: Path, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_command(folder, command), *options], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )


def _facts(out: str, err: str) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise SupplyError("the local cloud did not start", lines=(("says", (err or out).strip()[-500:]),)) from None
    if "error" in facts:
        raise SupplyError(f"the local cloud: {facts['error']}", hint=str(facts.get("remedy", "")))
    return facts


def _installed() -> None:
    if sys.platform != "linux":
        raise FileError(
            "the local cloud runs on Linux", hint="on macOS use a Linux VM or container; AWS itself works from here"
        )
    if importlib.util.find_spec("localcloud") is None:
        raise FileError("the local cloud is not installed", hint="uv tool install 'dayfly[local]'")
