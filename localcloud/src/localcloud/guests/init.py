"""The init of a process guest: runs the parts of the user data, reaps processes, and ends the guest when asked to.

Standard library only. The guest's root file system lives in rootfs.py; what an instance's end means is not decided here.
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
"""Seconds between TERM and KILL."""
_POLL = 0.02


def run(plan: dict[str, Any], control: socket.socket, console: str, directory: str, sandbox: bool) -> NoReturn:
    """Act as the guest's init until the guest ends; never returns. `directory` gets the FIFO of power commands."""
    code = 1
    try:
        code = _Init(plan, control, console, directory, sandbox).run()
    finally:
        os._exit(code)


class _Init:
    def __init__(
        self, plan: dict[str, Any], control: socket.socket, console: str, directory: str, sandbox: bool
    ) -> None:
        self._plan = plan
        self._control = control
        self._sandbox = sandbox
        self._steps: list[dict[str, str]] = list(plan["steps"])
        self._current = 0
        self._scheduled: tuple[float, str] | None = None
        self._halted = False
        self._received = b""
        self._selector = selectors.DefaultSelector()
        power = os.path.join(directory, "power")
        with contextlib.suppress(FileExistsError):
            os.mkfifo(power, 0o600)
        # Opened for reading and writing, so that the FIFO never reports its end between two writers.
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
        """Run the guest to its end and return the exit code: 0 after the reason was sent on the control socket."""
        self._print(f"localcloud: {self._plan['instance']} boots ({self._plan['boot']})\n")
        self._send({"event": "running"})
        self._start_next_step()
        while True:
            verb = self._next_verb()
            # A halted guest reacts to nothing but the power button.
            if verb is None or (self._halted and verb != "button"):
                continue
            self._scheduled = None
            self._send({"event": "power", "verb": verb})
            self._end_all()
            if verb != "halt":
                self._send({"event": "ended", "reason": verb})
                return 0
            # Without -p the machine halts but stays powered: EC2 still calls it running.
            self._print("localcloud: system halted\n")
            self._halted = True

    def _next_verb(self) -> str | None:
        """Wait for something to happen; return the power verb to obey now, if any."""
        ready = [key.fd for key, _ in self._selector.select(self._seconds_left())]
        verb = self._read(ready)
        if verb is None and self._scheduled is not None and time.monotonic() >= self._scheduled[0]:
            return self._scheduled[1]
        return verb

    def _seconds_left(self) -> float | None:
        if self._scheduled is None:
            return None
        return max(0.0, self._scheduled[0] - time.monotonic())

    def _read(self, ready: list[int]) -> str | None:
        """Read what is ready; return the power verb to obey now, if any."""
        verb = None
        if self._console in ready:
            with contextlib.suppress(BlockingIOError):
                self._print_bytes(os.read(self._console, 65536))
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
            self._reap()
        if self._power in ready:
            with contextlib.suppress(BlockingIOError):
                for line in os.read(self._power, 65536).decode(errors="replace").splitlines():
                    verb = self._power_command(line.split()) or verb
        if self._control.fileno() in ready:
            verb = self._read_control() or verb
        return verb

    def _read_control(self) -> str | None:
        try:
            chunk = self._control.recv(4096)
        except BlockingIOError:
            return None
        if not chunk:
            # The cloud has ended, and no process of its guests may outlive it.
            while self._living():
                self._kill_all()
            os._exit(1)
        self._received += chunk
        *lines, self._received = self._received.split(b"\n")
        if any(json.loads(line)["do"] == "button" for line in lines):
            return "button"
        return None

    def _power_command(self, words: list[str]) -> str | None:
        """Obey or schedule a power command; return the verb if it applies now."""
        verb, delay = power_request(words, time.localtime())
        if verb == "cancel":
            self._scheduled = None
            return None
        if verb is None:
            return None
        if delay <= 0:
            return verb
        self._print(f"localcloud: {verb} in {delay:.0f} s\n")
        self._scheduled = (time.monotonic() + delay, verb)
        return None

    def _start_next_step(self) -> None:
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
            environment = {**self._plan["environment"], "INSTANCE_ID": self._plan["instance"]}
            os.execve(step["path"], [step["path"]], environment)
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
                self._report_failure(os.waitstatus_to_exitcode(status))
                self._start_next_step()

    def _report_failure(self, code: int) -> None:
        if code > 0:
            self._print(f"localcloud: user data part failed: exit {code}\n")
        elif code < 0:
            self._print(f"localcloud: user data part failed: signal {-code}\n")

    def _end_all(self) -> None:
        """Send TERM once to every process, also to new ones; after the grace period send KILL to the rest."""
        self._steps.clear()
        self._current = 0
        signaled: set[int] = set()
        deadline = time.monotonic() + float(self._plan.get("grace", GRACE))
        while (living := self._living()) and time.monotonic() < deadline:
            _signal(living - signaled, signal.SIGTERM)
            signaled |= living
            time.sleep(_POLL)
            self._read([self._console])
        while self._living():
            self._kill_all()
            time.sleep(_POLL)

    def _kill_all(self) -> None:
        if self._sandbox and os.getpid() == 1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        else:
            _signal(self._living(), signal.SIGKILL)

    def _living(self) -> set[int]:
        self._reap()
        return set(_descendants(os.getpid()))

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps(message).encode() + b"\n")

    def _print(self, text: str) -> None:
        self._print_bytes(text.encode())

    def _print_bytes(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(1, data)


def power_request(words: list[str], now: time.struct_time) -> tuple[str | None, float]:
    """Parse a command line such as `shutdown -r +5`. Returns (poweroff | reboot | halt | cancel | None, seconds from now)."""
    if not words:
        return None, 0.0
    name, options = words[0], words[1:]
    short = "".join(word[1:] for word in options if word.startswith("-") and not word.startswith("--"))
    long = {word for word in options if word.startswith("--")}
    if name != "shutdown":
        return _direct_request(name, short, long), 0.0
    if "c" in short:
        return "cancel", 0.0
    if "k" in short:
        return None, 0.0
    verb = "poweroff"
    if "r" in short or "--reboot" in long:
        verb = "reboot"
    if "H" in short or "--halt" in long:
        verb = "halt"
    when = next((word for word in options if not word.startswith("-")), "+1")
    return verb, _delay(when, now)


def _direct_request(name: str, short: str, long: set[str]) -> str | None:
    """Parse `poweroff`, `reboot` or `halt`, which act at once."""
    if "w" in short or "--wtmp-only" in long:
        return None
    if "p" in short or "--poweroff" in long:
        return "poweroff"
    if "--halt" in long:
        return "halt"
    if "--reboot" in long:
        return "reboot"
    return name


def _delay(when: str, now: time.struct_time) -> float:
    """Return the seconds until `when`: `now`, `+MINUTES`, `MINUTES` or `HH:MM`; 60 for anything else."""
    if when == "now":
        return 0.0
    with contextlib.suppress(ValueError):
        if ":" in when:
            hour, minute = (int(part) for part in when.split(":", 1))
            ahead = (hour * 3600 + minute * 60) - (now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec)
            if ahead <= 0:
                ahead += 86400
            return float(ahead)
        return float(when.lstrip("+")) * 60
    return 60.0


def _signal(pids: set[int], number: signal.Signals) -> None:
    # Signal the oldest first. They are mostly parents, and a shell whose child ends first would run its next line.
    for pid in sorted(pids):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    """Return every living process below `pid`, by /proc; zombies do not count."""
    children = _children_by_parent()
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _children_by_parent() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                children.setdefault(int(fields[1]), []).append(int(name))
    return children
