"""scripts/setup-vm: where vm guests cannot run it says why; where they can and all is installed it prints nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/setup-vm"


def program(folder: Path, name: str, text: str) -> None:
    """Write an executable shell script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def run(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([script, *words], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--required",), 2)])
def test_another_architecture_is_named_as_the_reason(programs: Path, words: tuple[str, ...], code: int) -> None:
    program(programs, "uname", '[ "$1" = -s ] && echo Linux || echo riscv64')
    done = run(SCRIPT, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert "they need Linux on x86_64; this is Linux on riscv64" in done.stderr


def test_fresh_clone_is_set_up_first_and_nothing_is_printed(tmp_path: Path, programs: Path) -> None:
    program(programs, "uname", '[ "$1" = -s ] && echo Linux || echo x86_64')
    for name in ("qemu-system-x86_64", "qemu-img"):
        program(programs, name, "exit 1")
    clone = tmp_path / "clone"
    (clone / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPT, clone / "scripts/setup-vm")
    python = "mkdir -p .venv/bin\nprintf '#!/bin/sh\\necho there\\n' >.venv/bin/python\nchmod +x .venv/bin/python"
    program(clone / "scripts", "setup", python)
    done = run(clone / "scripts/setup-vm")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (clone / ".venv/bin/python").exists()
