"""The switch: ends this server when its time is over, whatever the agent, the job, the network or the clock do.

It powers off at boot + lifetime, on a second boot, when the agent did not start within 10 minutes of boot, and when the agent
is gone. Under systemd PID 1 holds the timers (off.sh acts); elsewhere a process of its own counts on the monotonic clock.
Standard library only; imports nothing of dayfly. It decides nothing about jobs.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import urlsplit

TAG_LIFETIME = "dayfly:lifetime"
METADATA_ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
ENDPOINT = "AWS_ENDPOINT_URL"
_METADATA = "http://169.254.169.254"
FIRST = 600.0
"""Seconds from boot in which lifetime and agent must be there."""
_ASK = 60.0
_STEP = 0.5


def main(argv: list[str], environ: Mapping[str, str]) -> None:
    """`arm CONTROL MACHINE` (boothook), `start CONTROL MACHINE PACKAGE` (the agent), `check` and `watch CONTROL` (the switch itself)."""
    verb, control = argv[0], argv[1] if len(argv) > 1 else "/run/dayfly"
    systemd = len(argv) > 2 and argv[2] == "systemd"
    if verb == "arm":
        arm(control, systemd, environ)
    elif verb == "watch":
        watch(control, environ)
    elif verb == "check":
        why = check(control)
        if why:
            sys.stdout.write(why)
            sys.exit(1)
    elif verb == "start":
        start(control, systemd, argv[3], environ)


def is_guest(systemd: bool, environ: Mapping[str, str]) -> bool:
    """A process guest shares kernel and boot with others: nothing of the kernel is its own."""
    return not systemd and bool(environ.get(METADATA_ENDPOINT) or environ.get(ENDPOINT))


def arm(control: str, systemd: bool, environ: Mapping[str, str]) -> None:
    """At every boot. On the second one: power off at once."""
    guest = is_guest(systemd, environ)
    state = os.path.dirname(control) if not systemd else "/var/lib/dayfly"
    if second_boot(state, environ.get("INSTANCE_ID") or "unknown", guest):
        if systemd:
            subprocess.Popen(["/bin/sh", control + "/off.sh", "second boot"], start_new_session=True)
            time.sleep(120)
        power_off("second boot", guest)
    for name in ("agent.lock", "agent-ended", "armed"):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(control, name))
    if not guest:
        with contextlib.suppress(OSError), open("/proc/sys/kernel/panic", "w") as file:
            file.write("10")
    if systemd:
        _arm_timer(control, environ)
        return
    begin = [sys.executable, "-I", "-S", os.path.join(control, "switch.py"), "watch", control]
    subprocess.Popen(begin, env=dict(environ), stdin=subprocess.DEVNULL, start_new_session=True, **_console(guest))


def second_boot(state: str, instance: str, guest: bool) -> bool:
    """Whether this very instance was here before; marks it. The same boot seen twice is no second boot."""
    path = os.path.join(state, "boots", instance)
    boot = "guest"
    if not guest:
        with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
    try:
        with open(path) as file:
            return guest or file.read().strip() != boot
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
    until = time.monotonic() + _ASK
    seconds = lifetime(environ)
    while seconds is None and time.monotonic() < until:
        time.sleep(1)
        seconds = lifetime(environ)
    if seconds is None:
        say("lifetime unknown: the server ends 10 minutes after boot")
        return
    reason = f"lifetime of {seconds} s is over"
    subprocess.run(
        [
            *_timer("dayfly-lifetime"),
            f"--on-boot={seconds}",
            "--timer-property=AccuracySec=1s",
            "--timer-property=DefaultDependencies=no",
            "--property=DefaultDependencies=no",
            *("/bin/sh", control + "/off.sh", reason),
        ],
        check=True,
    )
    with open(os.path.join(control, "armed"), "w") as file:
        file.write(str(seconds))
    say(f"armed for {seconds} s after boot")


def _timer(unit: str) -> list[str]:
    return ["systemd-run", "--quiet", "--no-block", "--collect", f"--unit={unit}"]


def check(control: str) -> str:
    """Ten minutes after boot under systemd: why the server must go now, or nothing."""
    if not os.path.exists(os.path.join(control, "armed")):
        return "lifetime unknown"
    if not os.path.exists(os.path.join(control, "agent.lock")):
        return "the agent did not start within 10 min of boot"
    return ""


def watch(control: str, environ: Mapping[str, str]) -> NoReturn:
    """Count from boot (a guest's boot is now) and watch the agent, until the server goes."""
    guest = is_guest(False, environ)
    began = time.monotonic()
    if not guest:
        with contextlib.suppress(OSError, ValueError), open("/proc/uptime") as file:
            began -= float(file.read().split()[0])
    asked_until = time.monotonic() + _ASK
    seconds: int | None = None
    missing = 0
    while True:
        if seconds is None and time.monotonic() < asked_until:
            seconds = lifetime(environ)
            if seconds is not None:
                say(f"armed for {seconds} s after boot")
        age = time.monotonic() - began
        alive = agent_alive(control)
        missing = missing + 1 if alive is False else 0
        if seconds is not None and age >= seconds:
            power_off(f"lifetime of {seconds} s is over", guest)
        if seconds is None and age >= FIRST:
            power_off("lifetime unknown", guest)
        if alive is None and age >= FIRST:
            power_off("the agent did not start within 10 min of boot", guest)
        if missing >= 2:
            power_off("agent gone", guest)
        time.sleep(_STEP)


def agent_alive(control: str) -> bool | None:
    """None: not started yet. The kernel drops the lock when the agent ends, however it ends."""
    try:
        held = os.open(os.path.join(control, "agent.lock"), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(held)
    return False


def lifetime(environ: Mapping[str, str]) -> int | None:
    """Seconds that this server may live, from its tag by IMDSv2; None where that can not be had now."""
    parts = urlsplit(environ.get(METADATA_ENDPOINT) or _METADATA)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    path = parts.path.rstrip("/") + "/latest/"
    try:
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "300", "Content-Length": "0"}
        link.request("PUT", path + "api/token", headers=ttl)
        token = link.getresponse().read().decode()
        link.request(
            "GET", path + "meta-data/tags/instance/" + TAG_LIFETIME, headers={"X-aws-ec2-metadata-token": token}
        )
        answer = link.getresponse()
        text = answer.read().decode().strip()
        return int(text) if answer.status == 200 and text.isdigit() and int(text) > 0 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        link.close()


def start(control: str, systemd: bool, package: str, environ: Mapping[str, str]) -> None:
    """Start the agent that lies unpacked in the folder `package`, watched."""
    guest = is_guest(systemd, environ)
    code = "import sys; sys.path.insert(0, sys.argv[3]); from dayfly.remote.agent.main import begin; begin()"
    kind = "guest" if guest else "machine"
    begin = [sys.executable, "-I", "-S", "-c", code, control, kind, package]
    if not systemd:
        subprocess.Popen(begin, env=dict(environ), stdin=subprocess.DEVNULL, start_new_session=True, **_console(guest))
        return
    handed = [f"--setenv={name}={environ[name]}" for name in (ENDPOINT, METADATA_ENDPOINT) if environ.get(name)]
    settings = (
        *("Delegate=yes", "KillMode=mixed", "OOMPolicy=continue", "OOMScoreAdjust=-900", "MemoryAccounting=yes"),
        *("TasksMax=infinity", "LimitNOFILE=65536", "StandardOutput=journal+console", "StandardError=journal+console"),
        f"ExecStopPost=/bin/sh {control}/off.sh 'agent gone'",
    )
    unit = ["systemd-run", "--quiet", "--no-block", "--unit=dayfly-agent", *handed]
    subprocess.run([*unit, *(f"--property={setting}" for setting in settings), *begin], check=True)


def power_off(reason: str, guest: bool) -> NoReturn:
    """Say why, then try until it works."""
    say(f"powering off: {reason}")
    ways = [["shutdown", "-h", "now"]] + ([] if guest else [["poweroff"], ["poweroff", "-f"]])
    turn = 0
    while True:
        try:
            subprocess.run(ways[min(turn, len(ways) - 1)], stdin=subprocess.DEVNULL, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as problem:
            say(f"power-off: {problem}")
        turn += 1
        time.sleep(5)


def _console(guest: bool) -> dict[str, int]:
    """Where a process that outlives this one writes: a machine's console; a guest's output already is its console."""
    if not guest:
        with contextlib.suppress(OSError):
            place = os.open("/dev/console", os.O_WRONLY | os.O_NOCTTY)
            return {"stdout": place, "stderr": place}
    return {}


def say(line: str) -> None:
    """One line on the console."""
    sys.stderr.write(f"dayfly switch: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
