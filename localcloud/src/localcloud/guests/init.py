"""The first process of a process guest: runs the parts of the user data, reaps, and ends the guest when told.

Standard library only. Building the guest's root does not live here (box.py), nor what an instance's end means.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from typing import Any, NoReturn

GRACE = 5.0
_TICK = 0.02


def live(plan: dict[str, Any], control: socket.socket, console: str, run: str, sandbox: bool) -> NoReturn:
    """Be the guest's init until the guest ends; never returns."""
    code = 1
    try:
        code = _Init(plan, control, console, run, sandbox).run()
    finally:
        os._exit(code)


class _Init:
    def __init__(self, plan: dict[str, Any], control: socket.socket, console: str, run: str, sandbox: bool) -> None:
        self._plan = plan
        self._control = control
        self._run = run
        self._sandbox = sandbox
        self._steps: list[dict[str, str]] = list(plan["steps"])
        self._current = 0
        self._due: tuple[float, str] | None = None
        self._halted = False
        self._heard = b""
        self._selector = selectors.DefaultSelector()
        power = os.path.join(run, "power")
        with contextlib.suppress(FileExistsError):
            os.mkfifo(power, 0o600)
        # Read and write, so that a FIFO never reports its end between two writers.
        self._power = os.open(power, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._console = os.open(console, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        control.setblocking(False)
        os.set_inheritable(control.fileno(), False)
        for descriptor in (self._power, self._console, self._wake, control.fileno()):
            self._selector.register(descriptor, selectors.EVENT_READ)

    def run(self) -> int:
        """Returns the exit code for the cloud's eyes: 0 when the end was said on the control socket."""
        self._write(f"localcloud: {self._plan['instance']} boots ({self._plan['boot']})\n")
        self._say({"event": "running"})
        self._next_step()
        while True:
            wait = None if self._due is None else max(0.0, self._due[0] - time.monotonic())
            ready = [key.fd for key, _ in self._selector.select(wait)]
            verb = self._hear(ready)
            if verb is None and self._due is not None and time.monotonic() >= self._due[0]:
                verb = self._due[1]
            if verb is None or (self._halted and verb != "button"):
                continue
            self._due = None
            self._say({"event": "power", "verb": verb})
            self._end_all()
            if verb == "halt":
                # Without -p the machine stops but stays powered: EC2 goes on calling it running.
                self._write("localcloud: system halted\n")
                self._halted = True
                continue
            self._say({"event": "ended", "reason": verb})
            return 0

    def _hear(self, ready: list[int]) -> str | None:
        """Take what came in; the power verb to obey now, if any."""
        verb = None
        if self._console in ready:
            with contextlib.suppress(BlockingIOError):
                self._write_bytes(os.read(self._console, 65536))
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
            self._reap()
        if self._power in ready:
            with contextlib.suppress(BlockingIOError):
                for line in os.read(self._power, 65536).decode(errors="replace").splitlines():
                    verb = self._asked(line.split()) or verb
        if self._control.fileno() in ready:
            verb = self._told() or verb
        return verb

    def _told(self) -> str | None:
        try:
            chunk = self._control.recv(4096)
        except BlockingIOError:
            return None
        if not chunk:
            # The cloud is gone: nothing of this guest may outlive it.
            while self._left():
                self._kill()
            os._exit(1)
        self._heard += chunk
        *lines, self._heard = self._heard.split(b"\n")
        return "button" if any(json.loads(line)["do"] == "button" for line in lines) else None

    def _asked(self, words: list[str]) -> str | None:
        """Understand `shutdown`, `poweroff`, `halt` or `reboot` with its options."""
        verb, delay = power_request(words, time.localtime())
        if verb == "cancel":
            self._due = None
            return None
        if verb is None:
            return None
        if delay <= 0:
            return verb
        self._write(f"localcloud: {verb} in {delay:.0f} s\n")
        self._due = (time.monotonic() + delay, verb)
        return None

    def _next_step(self) -> None:
        self._current = 0
        while self._steps and not self._current:
            self._current = self._spawn(self._steps.pop(0))

    def _spawn(self, step: dict[str, str]) -> int:
        child = os.fork()
        if child:
            return child
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.execve(
                step["path"], [step["path"]], {**self._plan["environment"], "INSTANCE_ID": self._plan["instance"]}
            )
        except OSError as error:
            os.write(2, f"localcloud: cannot run {step['name']}: {error.strerror}\n".encode())
        finally:
            os._exit(127)

    def _reap(self) -> None:
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if child == 0:
                return
            if child == self._current:
                code = os.waitstatus_to_exitcode(status)
                if code:
                    said = f"exit {code}" if code > 0 else f"signal {-code}"
                    self._write(f"localcloud: user data part failed: {said}\n")
                self._next_step()

    def _end_all(self) -> None:
        """TERM to everything once, also to what is started meanwhile; a grace; KILL to what is left."""
        self._steps.clear()
        self._current = 0
        told: set[int] = set()
        deadline = time.monotonic() + float(self._plan.get("grace", GRACE))
        while (left := self._left()) and time.monotonic() < deadline:
            _signal(left - told, signal.SIGTERM)
            told |= left
            time.sleep(_TICK)
            self._hear([self._console])
        while self._left():
            self._kill()
            time.sleep(_TICK)

    def _kill(self) -> None:
        if self._sandbox and os.getpid() == 1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        else:
            _signal(self._left(), signal.SIGKILL)

    def _left(self) -> set[int]:
        self._reap()
        return set(_descendants(os.getpid()))

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps(message).encode() + b"\n")

    def _write(self, text: str) -> None:
        self._write_bytes(text.encode())

    def _write_bytes(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(1, data)


def power_request(words: list[str], now: time.struct_time) -> tuple[str | None, float]:
    """What `WORDS` (a command line) asks: (poweroff | reboot | halt | cancel | None, seconds from now)."""
    if not words:
        return None, 0.0
    name, options = words[0], words[1:]
    short = "".join(word[1:] for word in options if word.startswith("-") and not word.startswith("--"))
    long = {word for word in options if word.startswith("--")}
    if name != "shutdown":
        verb = name
        if "p" in short or "--poweroff" in long:
            verb = "poweroff"
        elif "--halt" in long:
            verb = "halt"
        elif "--reboot" in long:
            verb = "reboot"
        return (None if "w" in short or "--wtmp-only" in long else verb), 0.0
    if "c" in short:
        return "cancel", 0.0
    if "k" in short:
        return None, 0.0
    verb = "reboot" if "r" in short or "--reboot" in long else "poweroff"
    if "H" in short or "--halt" in long:
        verb = "halt"
    when = next((word for word in options if not word.startswith("-")), "+1")
    return verb, _delay(when, now)


def _delay(when: str, now: time.struct_time) -> float:
    if when == "now":
        return 0.0
    with contextlib.suppress(ValueError):
        if ":" in when:
            hour, minute = (int(part) for part in when.split(":", 1))
            ahead = (hour * 3600 + minute * 60) - (now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec)
            return float(ahead if ahead > 0 else ahead + 86400)
        return float(when.lstrip("+")) * 60
    return 60.0


def _signal(pids: set[int], number: signal.Signals) -> None:
    # Parents are older as a rule, and go first: a shell whose child went before it would take its next line.
    for pid in sorted(pids):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    """Every living process below `pid`, by /proc; zombies do not count."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/stat") as said:
                    fields = said.read().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    parents.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
