"""Build the wheels of both distributions and install them into environments of their own.

What the package client kept when `scripts/setup` ran is enough: nothing here needs a network after that.
"""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "dev.txt"
EXAMPLE_LOCK = ROOT / "examples" / "pi" / "requirements.txt"
SOURCES = {
    "dayfly": (ROOT, ("src", "examples", "pyproject.toml", "README.md", "LICENSE")),
    "localcloud_ec2": (ROOT / "localcloud", ("src", "pyproject.toml", "README.md", "LICENSE")),
}
CLIENT = ("UV_", "PIP_", "SSL_", "HTTP", "http", "NO_PROXY", "no_proxy", "REQUESTS_")
"""Settings of the package client. With PATH and HOME they are all that an installed environment sees of this one."""


@dataclass(frozen=True)
class Installed:
    """An environment with wheels in it, and an empty folder to run its programs in."""

    bin: Path
    folder: Path

    def run(self, program: str, *words: str, timeout: float = 300, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; `more` is added to its environment variables."""
        return _run(str(self.bin / program), *words, cwd=self.folder, env=self.environment(**more), timeout=timeout)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key.startswith(CLIENT)}
        path = f"{self.bin}:{os.environ['PATH']}"
        return kept | {"PATH": path, "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"} | more


def build(name: str, into: Path) -> Path:
    """Build one wheel from a copy of what a clone holds, so that nothing left beside it gets in."""
    folder, parts = SOURCES[name]
    source = into / f"{name}-source"
    source.mkdir()
    skipped = shutil.ignore_patterns("__pycache__", ".venv", ".dayfly", "build", "dist", "*.egg-info")
    for part in parts:
        if (folder / part).is_dir():
            shutil.copytree(folder / part, source / part, ignore=skipped)
        else:
            shutil.copy(folder / part, source / part)
    uv("build", "--wheel", "--quiet", "--out-dir", into, source, cwd=into)
    (wheel,) = into.glob(f"{name}-*.whl")
    return wheel


def install(place: Path, *wheels: Path, also: tuple[str, ...] = ()) -> Installed:
    """Make an environment with these wheels, what they require, and the packages named in `also`.

    The lock's own versions are installed, by hash: a user may get newer ones, and no index is asked which there are.
    """
    python = place / "venv"
    uv("venv", "--quiet", "--python", sys.executable, python, cwd=place)
    into = ("pip", "install", "--quiet", "--no-deps", "--python", python)
    uv(*into, "--require-hashes", "-r", _locked(place, wheels, also), cwd=place)
    uv(*into, *wheels, cwd=place)
    uv("pip", "check", "--quiet", "--python", python, cwd=place)
    (place / "empty").mkdir()
    return Installed(python / "bin", place / "empty")


def requirements(wheel: Path) -> list[Requirement]:
    """Return what the wheel requires, from its metadata."""
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (one for one in opened.namelist() if one.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(opened.read(name))
    return [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]


def packages_in(wheel: Path) -> set[str]:
    """Return the names of the packages at the top of the wheel."""
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    return {top for top in tops if not top.endswith(".dist-info")}


def offline_settings(place: Path) -> dict[str, str]:
    """Return the variables with which the package client installs the example's packages without asking an index."""
    into = ("--target", place / "kept", "--python", sys.executable)
    done = _client("pip", "install", "--quiet", "--require-hashes", *into, "-r", EXAMPLE_LOCK, cwd=place)
    if done.returncode == 0:
        return {"UV_OFFLINE": "1"}
    # No network, and the files kept by `scripts/setup` carry no metadata on what they require. The lock is complete.
    config = place / "uv.toml"
    config.write_text("[pip]\nno-deps = true\n")
    return {"UV_OFFLINE": "1", "UV_CONFIG_FILE": str(config)}


def uv(*words: str | Path, cwd: Path) -> None:
    done = _client(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr


def _client(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the package client with what it kept; if that is not enough, let it ask its own index."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = _run(find_uv_bin(), *map(str, words), "--offline", cwd=cwd, env=env)
    if done.returncode == 0:
        return done
    return _run(find_uv_bin(), *map(str, words), cwd=cwd, env=env)


def _run(*words: str, cwd: Path, env: dict[str, str], timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False
    )


def _locked(place: Path, wheels: tuple[Path, ...], also: tuple[str, ...]) -> Path:
    """Write the lock's lines for what is required, directly or not, and for nothing that only tests need."""
    wanted = _needed([one for wheel in wheels for one in requirements(wheel)] + [Requirement(name) for name in also])
    lines, taken = [], False
    for line in LOCK.read_text().splitlines(keepends=True):
        if line[:1].isalnum():
            taken = canonicalize_name(line.partition("==")[0]) in wanted
        if taken:
            lines.append(line)
    path = place / "locked.txt"
    path.write_text("".join(lines))
    return path


def _needed(direct: list[Requirement]) -> set[str]:
    """Return the names of these packages and of all that they require, from the metadata installed with the tests."""
    found: set[str] = set()
    seen: set[tuple[str, tuple[str, ...]]] = set()
    todo = [(one, ()) for one in direct]
    while todo:
        one, extras = todo.pop()
        if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        name, wanted = canonicalize_name(one.name), tuple(sorted(one.extras))
        if (name, wanted) not in seen:
            seen.add((name, wanted))
            found.add(name)
            todo += [(Requirement(text), wanted) for text in distribution(name).requires or []]
    return found
