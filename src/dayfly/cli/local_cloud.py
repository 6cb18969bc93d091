"""Start, find and stop the local cloud of a folder. It is a separate process, `python -m localcloud`; none of its code is imported."""

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
"""The region if no dayfly.toml names one."""


@dataclass(frozen=True, kw_only=True)
class LocalCloud:
    """A running local cloud: its endpoint, an administrator's keys, and what it reports about itself.

    `started_here`: this command started it, and it ends with this command.
    """

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
        """The kind of its servers: `process` or `vm`."""
        return str(self.facts["guests"])

    @property
    def guest_description(self) -> str:
        """The kind of its servers in words, for the first line of a screen."""
        if self.guests == PROCESS:
            return "servers are sandboxed processes, not virtual machines"
        if self.facts.get("accelerator") == "kvm":
            return "servers are virtual machines (QEMU with KVM)"
        return "servers are virtual machines (QEMU with emulated processors)"

    @property
    def machine(self) -> str:
        """The architecture that servers really have: x86_64 or aarch64."""
        return str(self.facts["architecture"])

    @property
    def python(self) -> str:
        """The Python version that servers really have: `3.11`."""
        return str(self.facts["interpreter"]).removeprefix("python ")


def running(folder: Path) -> LocalCloud | None:
    """Return the local cloud of this folder, or None if it is not running."""
    if not (folder / STATE).is_dir():
        return None
    called = _call(folder, "status", "--json")
    facts = json.loads(called.stdout or "{}")
    if not facts.get("running"):
        return None
    return _local_cloud(folder, facts)


def require_guest(cloud: LocalCloud, guest: str | None) -> None:
    """Raise FileError if the servers of the cloud are of another kind than `guest` (None: any kind)."""
    if guest not in (None, cloud.guests):
        raise FileError(
            f"the local cloud that is running here has {cloud.guests} guests, not {guest}",
            hint="dayfly local down, then repeat the command",
        )


def up(folder: Path, region: str, *, internet: bool = False, guest: str | None = None) -> LocalCloud:
    """Start a local cloud that outlives this command, or find the running one.

    Raises SupplyError with its message if it does not start, FileError if the running one has another kind of server.
    """
    _require_installed()
    match running(folder):
        case LocalCloud() as found:
            require_guest(found, guest)
            kind = found.guests
        case None:
            kind = guest or PROCESS
            _build_guest_image(kind)
    options = ["--guests", kind]
    if internet:
        options.append("--internet")
    called = _call(folder, "up", "--json", "--region", region, *options)
    started = _local_cloud(folder, _facts(called.stdout, called.stderr))
    require_guest(started, guest)
    return started


def _build_guest_image(guest: str) -> None:
    """Build the image of vm guests, once, with its progress on stderr. Raises SupplyError with the message of the local cloud."""
    if guest == VM:
        built = subprocess.run(
            [sys.executable, "-m", "localcloud", "image", "--json"],
            stdout=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        _facts(built.stdout, "its guest image could not be built")


class TemporaryCloud:
    """A context manager: a local cloud that ends with this process, even after a crash. It ends when its pipe from this process closes."""

    def __init__(self, folder: Path, region: str, *, ticks: bool = False, guest: str = PROCESS) -> None:
        """Start it. `ticks`: whether schedules fire. For one command they do not: their servers would end with the command."""
        _require_installed()
        _build_guest_image(guest)
        command = [*_command(folder, "up"), "--foreground", "--parent-pipe", "--json", "--region", region]
        command += ["--guests", guest]
        if not ticks:
            command.append("--no-recurring")
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
    """Stop the local cloud and its servers. Returns whether it was running."""
    _require_installed()
    called = _call(folder, "down", "--json")
    return bool(_facts(called.stdout, called.stderr).get("ended"))


def exports(folder: Path) -> str:
    """Return shell exports for AWS clients, as the local cloud prints them. Raises SupplyError if it is not running."""
    _require_installed()
    called = _call(folder, "env")
    if called.returncode != 0:
        raise SupplyError("no local cloud is running here", hint="dayfly local up")
    return called.stdout


def _local_cloud(folder: Path, facts: dict[str, Any], *, started_here: bool = False) -> LocalCloud:
    lines = [line.removeprefix("export ") for line in exports(folder).splitlines() if line.startswith("export ")]
    exported = dict(line.split("=", 1) for line in lines)
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
    """Return the JSON document in the last line of `out`. Raises SupplyError if it reports an error or is missing."""
    try:
        facts: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise SupplyError("the local cloud did not start", lines=(("says", (err or out).strip()[-500:]),)) from None
    if "error" in facts:
        raise SupplyError(f"the local cloud: {facts['error']}", hint=str(facts.get("remedy", "")))
    return facts


def _require_installed() -> None:
    """Raise FileError if this machine cannot run the local cloud."""
    if sys.platform != "linux":
        raise FileError(
            "the local cloud only runs on Linux",
            hint="on macOS use a Linux VM or container; commands without --local work",
        )
    if importlib.util.find_spec("localcloud") is None:
        raise FileError("the local cloud is not installed", hint="uv tool install 'dayfly[local]'")
