"""Run the real command, and compute digits by an independent formula, for all tests of pie."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "src"
WITHOUT_FLINT = "python-flint is not installed; examples/pi/README.md says how to run these tests"


def euler_digits(digits: int) -> str:
    """Return `3.` and the first digits by Euler's 20 arctan(1/7) + 8 arctan(3/79), in integers: none of pie's formulas."""
    one = 10 ** (digits + 30)

    def arctan(a: int, b: int) -> int:
        # arctan(x) = sum of 2**2n (n!)**2 / (2n + 1)! * x**(2n + 1) / (1 + x**2)**(n + 1)
        term = one * a * b // (a * a + b * b)
        total, n = 0, 0
        while term:
            total += term
            n += 1
            term = term * 2 * n * a * a // ((2 * n + 1) * (a * a + b * b))
        return total

    text = plain(20 * arctan(1, 7) + 8 * arctan(3, 79), digits + 31)
    return f"{text[0]}.{text[1 : digits + 1]}"


def plain(number: int, size: int) -> str:
    """Return `number` as `size` digits, in pieces below Python's limit for conversions."""
    if size <= 1000:
        return str(number).zfill(size)
    high, low = divmod(number, 10 ** (size // 2))
    return plain(high, size - size // 2) + plain(low, size // 2)


@dataclass(frozen=True)
class Called:
    """The result of one call of the command."""

    code: int
    out: str
    err: str
    took: float
    output: Path

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def digits(self) -> int:
        return len(self.text) - len("3.\n")

    @property
    def description(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.output.with_suffix(".json").read_text())
        return found


def environment() -> dict[str, str]:
    """Return this process's environment with the package beside these tests first on the path."""
    path = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "pie.main", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(seconds: str, output: Path) -> Called:
    """Run the command and wait for its end."""
    began = time.monotonic()
    process = start(seconds, str(output))
    out, err = process.communicate(timeout=60)
    return Called(process.returncode, out, err, time.monotonic() - began, output)
