"""Run uv, and turn its failures into errors that say what to do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv

from dayfly.errors import FileError
from dayfly.project.bundle.store import SCRATCH_PREFIX
from dayfly.project.bundle.target import Target

_LINES_SHOWN = 6
_NO_WHEEL = re.compile(
    r"[Ww]heels are required for `(?P<required>[^`]+)`"
    r"|Because (?:all versions of )?(?P<without>[A-Za-z0-9._-]+)\S* (?:has|have) no "
)
_LABEL = re.compile(r"^(error|cause): ")
_SCRATCH_PATH = re.compile(rf"[^\s`]*/{SCRATCH_PREFIX}[^/\s]+/")


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What packages are installed for: the platform, the store that keeps them, the key of dayfly.toml for messages."""

    target: Target
    store: Path
    where: str
    say: Callable[[str], None]


def install(what: Sequence[str], site: Path, folder: Path, installation: Installation) -> None:
    """Install wheels for the target's platform into `site`. `what`: arguments of `uv pip install`, resolved in `folder`."""
    target = installation.target
    arguments = ["pip", "install", "--target", str(site), "--python", sys.executable]
    arguments += ["--python-platform", target.platform, "--python-version", target.python]
    arguments += ["--only-binary", ":all:", "--link-mode", "copy"]
    _run([*arguments, *what], folder, installation)


def export_lock(folder: Path, installation: Installation) -> str:
    """Return the packages of the folder's uv.lock as requirements, without the project itself and its dev dependencies."""
    arguments = ["export", "--frozen", "--no-dev", "--no-emit-project", "--no-editable", "--no-header", "--no-annotate"]
    return _run([*arguments, "--project", str(folder)], folder, installation)


def build_wheel(archive: Path, out: Path, project: Path, name: str, installation: Installation) -> Path:
    """Build the sources in `archive` to a wheel in `out` and return its path. uv's settings come from the folder `project`."""
    arguments = ["build", "--wheel", "--out-dir", str(out), "--python", sys.executable, str(archive)]
    _run(arguments, project, installation, building=name)
    return next(out.glob("*.whl"))


def _run(arguments: Sequence[str], folder: Path, installation: Installation, *, building: str = "") -> str:
    """Run uv in the folder and return its stdout. Raises FileError with uv's own explanation."""
    command = [uv.find_uv_bin(), "--no-progress", "--color", "never", "--no-python-downloads", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _explain(done.stderr, installation, building)
    return done.stdout


def _explain(stderr: str, installation: Installation, building: str) -> FileError:
    where, target = installation.where, installation.target
    no_wheel = _NO_WHEEL.search(stderr)
    if building:
        message = f"{where}: the project {building} cannot be built to a wheel"
        remedy = "try `uv build --wheel`; if it is not a package: [tool.uv] package = false in pyproject.toml"
    elif no_wheel:
        package = no_wheel["required"] or no_wheel["without"]
        message = f"{where}: {package} has no wheel for {target}"
        remedy = f"lock a version of {package} that has one, use an image with another Python, or install it in `setup`"
    elif "Failed to fetch" in stderr or "error sending request" in stderr:
        message = f"{where}: the package index cannot be reached"
        remedy = "retry when reachable; downloads are cached"
    else:
        message = f"{where}: its packages cannot be installed for {target}"
        remedy = 'fix the file (uv lock), name another, or python = "none"'
    return FileError(message, lines=(*_labelled(_own_words(stderr)), ("do", remedy)))


def _own_words(stderr: str) -> list[str]:
    """Return uv's explanation, without hints and without paths of the scratch folder, which no longer exists."""
    lines = [line for line in stderr.splitlines() if line.strip() and not line.startswith(("Using ", "hint:"))]
    return [_SCRATCH_PATH.sub("", _LABEL.sub("", line.strip())) for line in lines]


def _labelled(lines: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Yield the last lines, the first of them with the label `why`."""
    label = "why"
    for line in lines[-_LINES_SHOWN:]:
        yield label, line
        label = ""
