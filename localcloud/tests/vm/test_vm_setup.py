"""scripts/setup-vm: it says why VM guests cannot run here, and prints nothing when everything is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_programs import program

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/setup-vm"


def run(*options: str, python: str = sys.executable) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHON": python}
    return subprocess.run([SCRIPT, *options], capture_output=True, text=True, timeout=120, check=False, env=environment)


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--required",), 2)])
def test_other_architecture_is_given_as_the_reason(programs: Path, options: tuple[str, ...], code: int) -> None:
    program(programs, "uname", '[ "$1" = -s ] && echo Linux || echo riscv64')
    done = run(*options)
    assert (done.returncode, done.stdout) == (code, "")
    assert "they need Linux on x86_64; this is Linux on riscv64" in done.stderr


def test_nothing_is_printed_when_everything_is_installed(programs: Path) -> None:
    program(programs, "uname", '[ "$1" = -s ] && echo Linux || echo x86_64')
    for name in ("qemu-system-x86_64", "qemu-img"):
        program(programs, name, "exit 1")
    program(programs, "fake-python", '[ "$*" = "-m localcloud image --find" ] && echo there')
    done = run(python=str(programs / "fake-python"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
