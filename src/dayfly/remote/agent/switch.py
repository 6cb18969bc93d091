"""The switch: ends this server when its time is over, whatever the agent, the job, the network or the clock do.

It powers off at boot + lifetime, on a second boot, when the agent did not start within 10 minutes of boot, and when the agent
is gone. Under systemd PID 1 holds the timers (off.sh acts); elsewhere a process of its own counts on the monotonic clock.
It decides nothing about jobs.
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

from dayfly.remote.agent import power, words
from dayfly.remote.agent.metadata import Metadata

FIRST = 600.0
"""Seconds from boot in which lifetime and agent must be there."""
_STEP = 0.5


def main() -> None:
    """`arm CONTROL KIND` (at boot), `start CONTROL KIND` (the agent), `check CONTROL KIND` and `watch CONTROL KIND`."""
    verb, control, kind = sys.argv[1:4]
    if verb == "check":
        sys.exit(check(control))
    elif verb == "agent":
        from dayfly.remote.agent import main

        main.run(control, kind, os.environ)
    {"arm": arm, "watch": watch, "start": start}[verb](control, kind, os.environ)


def arm(control: str, kind: str, environ: Mapping[str, str]) -> None:
    """At every boot. On the second one: power off at once."""
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
    """Whether this very instance was here before; marks it. The same boot seen twice is no second boot."""
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
        say(f"the mark of the first boot can not be written: {problem}")
    return False


def _arm_timer(control: str, environ: Mapping[str, str]) -> None:
    """The timer of the server's whole lifetime, held by PID 1. Without one the first timer ends the server."""
    seconds = lifetime(Metadata(environ), 60)
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
    act = ["/bin/sh", control + "/off.sh", _over(seconds)]
    subprocess.run(["systemd-run", "--no-block", "--unit=dayfly-lifetime", *settings, *act], check=True)
    with open(control + "/armed", "w") as file:
        file.write(str(seconds))
    say(f"armed for {seconds} s after boot")


def check(control: str) -> str | None:
    """Ten minutes after boot under systemd: why the server must go now (exit 1, on stderr), or nothing."""
    if not os.path.exists(control + "/armed"):
        return "lifetime unknown"
    return None if os.path.exists(control + "/agent.lock") else _LATE


_LATE = "the agent did not start within 10 min of boot"


def _over(seconds: int) -> str:
    return f"lifetime of {seconds} s is over"


def watch(control: str, kind: str, environ: Mapping[str, str]) -> NoReturn:
    """Count from boot (a guest's boot is now) and watch the agent, until the server goes."""
    began = time.monotonic()
    meta, asked_until = Metadata(environ), began + 60
    if kind != power.GUEST:
        with contextlib.suppress(OSError, ValueError), open("/proc/uptime") as file:
            began -= float(file.read().split()[0])
    seconds: int | None = None
    missing = 0
    while True:
        if seconds is None and time.monotonic() < asked_until:
            seconds = lifetime(meta, 0)
            if seconds is not None:
                say(f"armed for {seconds} s after boot")
        alive = agent_alive(control)
        missing = missing + 1 if alive is False else 0
        reason = why(time.monotonic() - began, seconds, alive, missing)
        if reason:
            power.off(reason, kind, "switch")
        time.sleep(_STEP)


def why(age: float, seconds: int | None, alive: bool | None, missing: int) -> str:
    """Why the server must go now, or nothing. `age` in seconds since boot; `missing` looks in a row without the agent."""
    if seconds is not None and age >= seconds:
        return _over(seconds)
    if seconds is None and age >= FIRST:
        return "lifetime unknown"
    if alive is None and age >= FIRST:
        return _LATE
    return "agent gone" if missing >= 2 else ""


def agent_alive(control: str) -> bool | None:
    """None: not started yet. The kernel drops the lock when the agent ends, however it ends."""
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


def lifetime(meta: Metadata, patience: float) -> int | None:
    """Seconds that this server may live, from its tag; None where that can not be had."""
    try:
        return int(meta.tag(words.TAG_LIFETIME, patience))
    except (OSError, ValueError):
        return None


def start(control: str, kind: str, environ: Mapping[str, str]) -> None:
    """Start the agent, watched."""
    if kind != power.SYSTEMD:
        _detach("agent", control, kind)
        return
    settings = (
        *("Delegate=yes", "KillMode=mixed", "OOMPolicy=continue", "OOMScoreAdjust=-900"),
        *("LimitNOFILE=65536", "StandardOutput=journal+console", "StandardError=journal+console"),
        f"ExecStopPost=/bin/sh {control}/off.sh 'agent gone' apart",
    )
    properties = [f"-p{setting}" for setting in settings]
    handed = [f"--setenv={words.ENDPOINT}={environ[words.ENDPOINT]}"] if environ.get(words.ENDPOINT) else []
    unit = ["systemd-run", "--no-block", "--unit=dayfly-agent", *handed, *properties]
    subprocess.run([*unit, *_again("agent", control, kind)], check=True)


def _detach(verb: str, control: str, kind: str) -> None:
    """Go on as a process that outlives this one and writes on the console: a guest's own output already goes there."""
    place: dict[str, Any] = {}
    if kind != power.GUEST:
        with contextlib.suppress(OSError):
            console = os.open("/dev/console", os.O_WRONLY | os.O_NOCTTY)
            place = {"stdout": console, "stderr": console}
    subprocess.Popen(_again(verb, control, kind), stdin=subprocess.DEVNULL, start_new_session=True, **place)


def _again(verb: str, control: str, kind: str) -> list[str]:
    return [sys.executable, "-I", "-S", sys.argv[0], verb, control, kind]


def say(line: str) -> None:
    """One line on the console."""
    words.say(line, "switch")
