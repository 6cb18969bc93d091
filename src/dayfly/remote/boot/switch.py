"""The switch: power off this server at its deadline, independent of the agent, the job and the network.

It powers off at the deadline, and at boot + lifetime whatever the clock says; on a second boot; if no agent started within 10 minutes
of boot; and if the agent is gone. To the switch, first stage and agent are one: the process that holds agent.lock. Under systemd,
PID 1 holds the timers, which run off.sh; elsewhere a process of its own counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from dayfly.remote.boot import names, power
from dayfly.remote.boot.metadata import Metadata

FIRST = 600.0
"""Seconds after boot by which the lifetime must be known and the agent started."""
LATEST_BOOT = 900
"""Seconds after the intent by which a server has booted. A clock that says otherwise is wrong."""
_STEP = 0.5


def main() -> None:
    """Run `VERB CONTROL KIND` of the command line.

    Verbs: `arm` (at boot), `watch` and `check` (the switch itself), `start` the first stage, `stage` (be the first stage).
    """
    verb, control, kind = sys.argv[1:4]
    if verb == "check":
        sys.exit(check(control))
    elif verb == "stage":
        from dayfly.remote.boot import first_stage

        first_stage.run(control, kind, os.environ)
    {"arm": arm, "watch": watch, "start": start}[verb](control, kind, os.environ)


def arm(control: str, kind: str, environ: Mapping[str, str]) -> None:
    """Start the timer of the lifetime. Runs at every boot; the second one powers off at once."""
    state = os.path.dirname(control) if kind == power.GUEST else "/var/lib/dayfly"
    if second_boot(state, environ.get("INSTANCE_ID") or "unknown", kind):
        power.off("second boot", kind, "switch")
    for name in ("agent.lock", "agent-ended", "armed"):
        with contextlib.suppress(OSError):
            os.unlink(f"{control}/{name}")
    if kind != power.GUEST:
        with contextlib.suppress(OSError), open("/proc/sys/kernel/panic", "w") as file:
            file.write("10")
    if kind == power.SYSTEMD:
        _arm_timer(control, environ)
    else:
        _detach("watch", control, kind)


def second_boot(state: str, instance: str, kind: str) -> bool:
    """Return whether this instance booted before, and record this boot. The same boot twice is not a second one."""
    path = os.path.join(state, "boots", instance)
    boot = kind
    if kind != power.GUEST:
        with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read()
    try:
        with open(path) as file:
            return kind == power.GUEST or file.read() != boot
    except OSError:
        pass
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(boot)
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        say(f"cannot record the first boot: {problem}")
    return False


def _arm_timer(control: str, environ: Mapping[str, str]) -> None:
    """Have systemd power off when the lifetime is over. If it is unknown, the boothook's timer does it 10 minutes after boot."""
    seconds = lifetime(Metadata(environ), 60, time.time() - _uptime(power.SYSTEMD))
    if seconds is None:
        say("lifetime unknown: the server ends 10 minutes after boot")
        return
    early = "DefaultDependencies=no"  # before sysinit.target is reached
    settings = [
        f"--on-boot={seconds}",
        "--timer-property=AccuracySec=1s",
        "--timer-property=" + early,
        "-p" + early,
    ]
    act = ["/bin/sh", control + "/off.sh", _OVER]
    subprocess.run(["systemd-run", "--no-block", "--unit=dayfly-lifetime", *settings, *act], check=True)
    with open(control + "/armed", "w") as file:
        file.write(str(seconds))


def check(control: str) -> str | None:
    """Return why the server must power off, or None. systemd runs this ten minutes after boot.

    sys.exit prints the reason on stderr and exits with 1, or exits with 0.
    """
    if not os.path.exists(control + "/armed"):
        return "lifetime unknown"
    if os.path.exists(control + "/agent.lock"):
        return None
    return _LATE


_LATE = "the agent did not start within 10 min of boot"
_OVER = "past its deadline"


def _uptime(kind: str) -> float:
    """Return the seconds since boot. A process guest boots now."""
    if kind != power.GUEST:
        with contextlib.suppress(OSError, ValueError), open("/proc/uptime") as file:
            return float(file.read().split()[0])
    return 0.0


def watch(control: str, kind: str, environ: Mapping[str, str]) -> NoReturn:
    """Power off at the deadline or when the agent is gone. Counts by the monotonic clock."""
    now = time.monotonic()
    meta, asked_until, began = Metadata(environ), now + 60, now - _uptime(kind)
    booted = time.time() - (now - began)
    seconds: int | None = None
    missing = 0
    while True:
        if seconds is None and time.monotonic() < asked_until:
            seconds = lifetime(meta, 0, booted)
        alive = agent_alive(control)
        missing += 1
        if alive is not False:
            missing = 0
        reason = why(time.monotonic() - began, seconds, alive, missing)
        if reason:
            power.off(reason, kind, "switch")
        time.sleep(_STEP)


def why(age: float, seconds: int | None, alive: bool | None, missing: int) -> str:
    """Return why the server must power off now, or "".

    `age`: seconds since boot; `seconds`: the lifetime; `alive`: see `agent_alive`; `missing`: looks in a row without the agent.
    """
    if seconds is not None and age >= seconds:
        return _OVER
    if seconds is None and age >= FIRST:
        return "lifetime unknown"
    if alive is None and age >= FIRST:
        return _LATE
    if missing >= 2:
        return "agent gone"
    return ""


def agent_alive(control: str) -> bool | None:
    """Return whether the agent (or its first stage) runs; None if it has not started. The kernel drops its lock when it ends."""
    try:
        held = os.open(control + "/agent.lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(held)
    return False


def lifetime(meta: Metadata, patience: float, booted: float) -> int | None:
    """Return the seconds from boot to power-off, from the server's tags; None if they cannot be read."""
    try:
        seconds = int(meta.tag(names.TAG_LIFETIME, patience))
        seconds = count_down(seconds, meta.get("tags/instance/" + names.TAG_DEADLINE, patience) or "", booted)
    except (OSError, ValueError):
        return None
    say(f"armed for {seconds} s after boot")
    return seconds


def count_down(seconds: int, deadline: str, booted: float) -> int:
    """Return the seconds from boot to the deadline, at most `seconds`: no clock lengthens a life.

    `booted`: when the kernel booted, by the clock at boot, which is used only if it is plausible.
    """
    try:
        launch = names.seconds_of(deadline) - seconds
    except ValueError:
        return seconds
    if 0 <= booted - launch <= LATEST_BOOT:
        return max(1, int(launch + seconds - booted))
    return seconds


def start(control: str, kind: str, environ: Mapping[str, str]) -> None:
    """Start the first stage; under systemd as a unit whose end powers off the server. The agent continues in the same process."""
    if kind != power.SYSTEMD:
        _detach("stage", control, kind)
        return
    settings = (
        *("Delegate=yes", "KillMode=mixed", "OOMPolicy=continue", "OOMScoreAdjust=-900"),
        *("LimitNOFILE=65536", "StandardOutput=journal+console", "StandardError=journal+console"),
        f"ExecStopPost=/bin/sh {control}/off.sh 'agent gone' apart",
    )
    properties = [f"-p{setting}" for setting in settings]
    unit = ["systemd-run", "--no-block", "--unit=dayfly-agent", *properties]
    if environ.get(names.ENDPOINT):
        unit.append(f"--setenv={names.ENDPOINT}={environ[names.ENDPOINT]}")
    subprocess.run([*unit, *_command("stage", control, kind)], check=True)


def _detach(verb: str, control: str, kind: str) -> None:
    """Start a verb as a process that outlives this one. It writes to the console; a guest's output goes there anyway."""
    streams: dict[str, Any] = {}
    if kind != power.GUEST:
        with contextlib.suppress(OSError):
            console = os.open("/dev/console", os.O_WRONLY | os.O_NOCTTY)
            streams = {"stdout": console, "stderr": console}
    subprocess.Popen(_command(verb, control, kind), stdin=subprocess.DEVNULL, start_new_session=True, **streams)


def _command(verb: str, control: str, kind: str) -> list[str]:
    """Return the command that runs a verb of this program."""
    return [sys.executable, "-I", "-S", sys.argv[0], verb, control, kind]


def say(line: str) -> None:
    """Write one line to the console."""
    names.say(line, "switch")
