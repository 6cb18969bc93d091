"""Watch the clock and keep the best file: start the search in its own process, and end it when time is up.

Does not load FLINT, so that it can always answer a signal. The search may crash, hang or be wrong: the last complete
file stays.
"""

import json
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pie import clock, first
from pie.record import Result, Spent, move, write_description, write_small

FIRST_METHOD = "Machin's formula in whole numbers"
RESERVED_SECONDS = 0.02  # for the last rename and the exit
KILL_SHARE = 0.4  # of the allowance; a search that still runs then is killed


class FirstDigitsDiffer(ArithmeticError):
    """Two formulas for the first thousand digits disagree: this machine cannot be trusted."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended: `reason` for the JSON, `code` for the shell, `message` for stderr (or nothing)."""

    reason: str
    code: int = 0
    message: str = ""


class Signals:
    """Turns SIGTERM and SIGINT into bytes in a pipe, from construction on."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def received(self, within: float = 0.0) -> int:
        """Return the number of the first signal, waiting up to `within` seconds; 0 if none arrived."""
        ready, _, _ = select.select([self.reader], [], [], within)
        if not ready:
            return 0
        return os.read(self.reader, 1)[0]


class Keeper:
    """One call of `pie`: `seconds` from `start` (of time.monotonic()), digits to `output`, JSON to `description`."""

    def __init__(self, seconds: float, output: Path, start: float, signals: Signals) -> None:
        self.seconds, self.output, self.start, self.signals = seconds, output, start, signals
        self.description = output.with_suffix(".json")
        self.cores = usable_cores()
        self.stem = f".{output.name}.{os.getpid()}"
        self.result = Result(0, "", "")

    def run(self) -> tuple[Ending, Spent]:
        """Search until the time is up. Raises OSError if a file cannot be written, or FirstDigitsDiffer."""
        self._write_first()
        try:
            ending = self._search()
        finally:
            for part in self.output.parent.glob(f"{self.stem}.*.part"):
                part.unlink(missing_ok=True)
        spent = self._spent(ending.reason)
        write_description(self.description, self.result, spent)
        return ending, spent

    def _write_first(self) -> None:
        digits = str(first.arctangents(first.MACHIN, first.DIGITS))
        if digits != str(first.arctangents(first.STORMER, first.DIGITS)):
            raise FirstDigitsDiffer("Machin's and Stormer's formulas disagree on the first digits of pi")
        digest = write_small(self.output, f"{digits[0]}.{digits[1:]}\n".encode())
        entry = {"what": "confirmed by a second formula: Stormer's, in whole numbers", "from": 1, "to": first.DIGITS}
        self.result = Result(first.DIGITS, digest, FIRST_METHOD, [dict(entry)])
        write_description(self.description, self.result, self._spent("time"))

    def _spent(self, reason: str) -> Spent:
        used = time.monotonic() - self.start
        late = used > self.seconds + clock.allowance(self.seconds)
        return Spent(self.seconds, used, late, self.cores, reason)

    def _search(self) -> Ending:
        deadline = self.start + self.seconds - RESERVED_SECONDS
        kill_at = self.start + self.seconds + KILL_SHARE * clock.allowance(self.seconds)
        if time.monotonic() >= deadline:
            return Ending("time")
        reader, writer = os.pipe()
        sys.stdout.flush()
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            _run_search(parent, self.output.parent, self.stem, self.cores, deadline, writer)
        os.close(writer)
        try:
            return self._listen(reader, kill_at)
        finally:
            os.close(reader)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _listen(self, pipe: int, kill_at: float) -> Ending:
        """Handle the lines of the search until it ends, a signal arrives or the time is up."""
        buffer = b""
        while True:
            left = max(0.0, kill_at - time.monotonic())
            ready, _, _ = select.select([pipe, self.signals.reader], [], [], left)
            if self.signals.reader in ready:
                return _by_signal(self.signals.received())
            if not ready:
                return Ending("time")
            chunk = os.read(pipe, 1 << 16)
            if not chunk:
                # A signal to the whole process group ends the search first: give it a moment to arrive here too.
                if number := self.signals.received(within=0.1):
                    return _by_signal(number)
                return Ending("search lost", 1, f"the search was killed; kept {self.result.digits:,} digits")
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                if ending := self._handle(json.loads(line)):
                    return ending

    def _handle(self, line: dict[str, object]) -> Ending | None:
        """Keep the result that the line reports, or return how the search ended."""
        kept = f"kept {self.result.digits:,} digits found so far"
        if "wrong" in line:
            return Ending("wrong digits", 1, f"{line['wrong']}; {kept}")
        if "failed" in line:
            return Ending("not written", 1, f"{line['failed']}; {kept}")
        if "end" in line:
            return Ending(str(line["end"]))
        checked = line["checked"]
        assert isinstance(checked, list)
        if "result" in line:
            move(Path(str(line["result"])), self.output)
            self.result = Result(int(str(line["digits"])), str(line["sha256"]), str(line["method"]))
        self.result.checked = checked
        write_description(self.description, self.result, self._spent("time"))
        return None


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _by_signal(number: int) -> Ending:
    return Ending(signal.Signals(number).name, 128 + number)


def _run_search(parent: int, folder: Path, stem: str, cores: int, deadline: float, pipe: int) -> None:
    """Run the search in the forked child; never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        from pie import search, text  # loads FLINT, which the parent must not wait for

        text.end_with_parent(parent)
        search.search(folder, stem, cores, deadline, pipe)
        code = 0
    except BaseException as error:
        sys.stderr.write(f"pie: the search failed: {type(error).__name__}: {error}\n")
    finally:
        os._exit(code)
