"""The command `pie SECONDS OUTPUT`: parse the arguments, print one line, return the exit code."""

import math
import sys
from pathlib import Path

from pie import clock
from pie.keeper import FirstDigitsDiffer, Keeper, Signals
from pie.record import sentence

USAGE = """\
usage: pie SECONDS OUTPUT

Compute as many correct digits of pi as fit in SECONDS (a number above 0, start and writing included), on all available
cores. OUTPUT gets `3.`, the digits and a newline; the same name with .json says how many, by what method, and what was
checked.

exit codes: 0 success; 1 a file could not be written, or a check failed (the last good file stays); 2 wrong command line;
143 ended by SIGTERM and 130 by Ctrl-C (the best complete file stays)
"""
LONGEST = 30 * 86400  # seconds


class BadArguments(ValueError):
    """The command line is wrong; the message says why."""


def parse(arguments: list[str]) -> tuple[float, Path]:
    """Return SECONDS and OUTPUT. Raises BadArguments."""
    if len(arguments) != 2:
        raise BadArguments(f"needs SECONDS and OUTPUT; number of arguments given: {len(arguments)}")
    try:
        seconds = float(arguments[0])
    except ValueError:
        raise BadArguments(f"SECONDS must be a number, not {arguments[0]!r}") from None
    if not math.isfinite(seconds) or not 0 < seconds <= LONGEST:
        raise BadArguments(f"SECONDS must be above 0 and at most {LONGEST}, not {arguments[0]}")
    output = Path(arguments[1])
    if not arguments[1] or arguments[1].endswith("/") or output.is_dir():
        raise BadArguments(f"OUTPUT must be a file; {arguments[1]!r} is a folder")
    if output.suffix == ".json":
        raise BadArguments("OUTPUT must not end in .json: that name is used for the description of the digits")
    return seconds, output


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    signals = Signals()
    if any(a in ("-h", "--help") for a in arguments):
        sys.stdout.write(USAGE)
        return 0
    try:
        seconds, output = parse(arguments)
    except BadArguments as error:
        sys.stderr.write(f"pie: {error}\n{USAGE.splitlines()[0]}\n")
        return 2
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        keeper = Keeper(seconds, output, clock.process_start(), signals)
        ending, spent = keeper.run()
    except (OSError, FirstDigitsDiffer) as error:
        sys.stderr.write(f"pie: {error}\n")
        return 1
    if ending.message:
        sys.stderr.write(f"pie: {ending.message}\n")
    sys.stdout.write(sentence(keeper.result, spent) + "\n")
    return ending.code


def run() -> None:
    """Entry point of the installed command."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
