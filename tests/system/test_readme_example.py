"""The README's example is the output of a real run: compared with one line by line, or recorded with README_RECORD=1.

What differs between runs (times, ids, sizes, digits, the machine) is masked before the comparison; labels, columns, order
and words are not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(
    r"(<!-- recorded from a real run .*? -->\n```\n)(.*?)(```\n<!-- end of the recording -->)", re.DOTALL
)
COMMAND = "$ make demo\n"
MASKS = (
    # The command and EC2's event race to close the run; only the event knows when exactly the server was gone.
    (r"^  seen gone  (.*) lived at most ", r"  server gone\1 lived "),
    (r"\(simulated by this machine: [^)]*\)", "(played by this machine)"),
    (r"peak memory .*$", "peak memory"),
    (r"digits of pi.*$", "digits of pi"),
    (r"i-[0-9a-f]{17}", "i-ID"),
    (r"eu-west-1[a-z]\b", "eu-west-1z"),
    (r"( *)\+\d+\.\d s", lambda found: "+" * len(found[0])),
    (r"\d[\d,.]* [kMG]?B\b", "0 MB"),
    (r"\d+(?:,\d{3})+", "0"),
    (r"\d+\.\d s", "0.0 s"),
    (r"\bpie \d+", "pie 0"),
    (r"\d", "0"),
)


def masked(text: str) -> list[str]:
    for pattern, plain in MASKS:
        text = re.sub(pattern, plain, text, flags=re.MULTILINE)
    return text.splitlines()


def recorded() -> str:
    found = BLOCK.search(README.read_text())
    assert found, "the README has no recorded block"
    return found[2]


def demo(folder: Path, *options: str) -> str:
    """Return stdout of a real demo, whose exit code must be 0."""
    done = subprocess.run(
        [sys.executable, "-m", "dayfly", "demo", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.cloud
@pytest.mark.skipif(sys.platform != "linux", reason="the local cloud needs Linux")
def test_demo_prints_what_the_readme_shows(tmp_path):
    if os.environ.get("README_RECORD") == "1":
        text = README.read_text()
        fresh = COMMAND + demo(tmp_path)
        README.write_text(BLOCK.sub(lambda found: found[1] + fresh + found[3], text))
    else:
        fresh = COMMAND + demo(tmp_path, "--seconds", "3")
    assert masked(fresh) == masked(recorded())


def test_recorded_times_add_up():
    lines = recorded().splitlines()
    assert f"{lines[0]}\n" == COMMAND
    steps = ["tick", "claimed", "server", "job started", "job ended", "stored", "server gone"]
    times = {}
    for step in steps:
        line = next(line for line in lines if line.startswith(f"  {step}  "))
        hour, minute, second = re.search(r"(\d\d):(\d\d):(\d\d\.\d)", line).groups()
        times[step] = int(hour) * 3600 + int(minute) * 60 + float(second)
        after = re.search(r"\+(\d+\.\d) s", line)
        assert step == "tick" or abs(times[step] - times["tick"] - float(after[1])) < 0.15, line
    assert list(times.values()) == sorted(times.values())
    lived, worked = re.search(r"lived (\d+\.\d) s for a job of (\d+\.\d) s", recorded()).groups()
    assert abs(times["job ended"] - times["job started"] - float(worked)) < 0.25
    assert abs(times["server gone"] - times["server"] - float(lived)) < 1.1  # EC2 gives the start in whole seconds
    assert "servers left  0" in lines
