"""scripts/setup-vm sets up a fresh clone first, then lets localcloud's script install what VM guests need."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/setup-vm"


def program(path: Path, text: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def test_fresh_clone_is_set_up_first(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    program(clone / "scripts/setup", "mkdir -p .venv/bin\ntouch .venv/bin/python")
    program(clone / "localcloud/scripts/setup-vm", 'test -e "$PYTHON" && echo "$PYTHON $*"\nexit 2')
    shutil.copy(SCRIPT, clone / "scripts/setup-vm")
    command = [clone / "scripts/setup-vm", "--required"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == f"{clone}/.venv/bin/python --required\n"
