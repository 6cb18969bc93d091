"""Kill the acceptance trial at random moments on a local cloud, and look whether `--clean` leaves nothing.

PYTHONPATH=tests/aws python -m kills [TIMES] [SEED]     what `make acceptance-kills` runs
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from local_trial import LocalTrial, check_nothing_left

DEFAULTS = ("10", "1")
"""How many trials, and the seed of the moments."""
LONGEST_S = 45.0
"""About how long a whole trial takes on a local cloud."""


def killed_after(trial: LocalTrial, seconds: float) -> tuple[str, str]:
    """Start a trial, kill it after so long, and return its name and its last line; empty if it had printed nothing."""
    process = trial.start()
    assert process.stderr is not None
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    lines = [line.rstrip("\n") for line in process.stderr]
    process.wait(timeout=60)
    timer.cancel()
    names = [line.split()[1] for line in lines if line.startswith("trial ")]
    return "".join(names[:1]), "".join(lines[-1:])


def main() -> int:
    times, seed = (int(word) for word in (*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :]))
    moments = random.Random(seed)
    dayfly = [sys.executable, "-m", "dayfly", "local"]
    bad = 0
    with tempfile.TemporaryDirectory() as path:
        trial = LocalTrial(Path(path))
        subprocess.run([*dayfly, "up"], cwd=path, check=True, capture_output=True)
        try:
            for number in range(1, times + 1):
                seconds = moments.uniform(0.5, LONGEST_S)
                name, last = killed_after(trial, seconds)
                code, _out, err = trial.run("--clean", *filter(None, [name]))
                left = ""
                try:
                    check_nothing_left(trial)
                except AssertionError as error:
                    left = str(error).splitlines()[0]
                bad += bool(code or left)
                sys.stdout.write(
                    f"{number:>2}  killed after {seconds:4.1f} s, at: {last}\n    clean: exit {code} {left or 'nothing left'}\n"
                )
                if code or left:
                    sys.stdout.write(err)
                sys.stdout.flush()
        finally:
            subprocess.run([*dayfly, "down"], cwd=path, check=False, capture_output=True)
    sys.stdout.write(f"{times} trials killed with seed {seed}, {times - bad} cleaned to nothing\n")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
