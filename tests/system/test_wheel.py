"""The wheel as a user gets it: built, installed in an empty directory, run in an environment of its own.

What the package client kept when `scripts/setup` ran is enough: none of this needs a network then.
"""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[2]
PINNED = ROOT / "requirements" / "dev.txt"
EXAMPLE_LOCK = ROOT / "examples" / "pi" / "requirements.txt"
TRAVELS = ("src", "examples", "pyproject.toml", "README.md", "LICENSE")
CLIENT = ("UV_", "PIP_", "SSL_", "HTTP", "http", "NO_PROXY", "no_proxy", "REQUESTS_")
"""Settings of the package client; nothing else of this environment reaches the one under test, but PATH and HOME."""


def run(*words: str | Path, cwd: Path, env: dict[str, str], timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )


def client(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The package client: what it has already is enough where it can be, else it asks its own registry."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = run(find_uv_bin(), *words, "--offline", cwd=cwd, env=env)
    return run(find_uv_bin(), *words, cwd=cwd, env=env) if done.returncode != 0 else done


def uv(*words: str | Path, cwd: Path) -> None:
    done = client(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what a clone holds, so that nothing left beside it gets in."""
    source = tmp_path_factory.mktemp("source")
    skipped = shutil.ignore_patterns("__pycache__", ".venv", ".dayfly", "build", "dist", "*.egg-info")
    for name in TRAVELS:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=skipped)
        else:
            shutil.copy(path, source / name)
    built = tmp_path_factory.mktemp("dist")
    uv("build", "--wheel", "--quiet", "--out-dir", built, source, cwd=built)
    (found,) = built.glob("dayfly-*.whl")
    return found


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and an empty folder to run it in."""

    bin: Path
    folder: Path

    def dayfly(self, *words: str, timeout: float = 300, **more: str) -> subprocess.CompletedProcess[str]:
        """A command line; `more` is put into its environment."""
        env = {key: value for key, value in os.environ.items() if key.startswith(CLIENT)}
        env |= {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8", **more}
        return run(self.bin / "dayfly", *words, cwd=self.folder, env=env, timeout=timeout)


def install(place: Path, wheel: Path, *extras: str) -> Installed:
    uv("venv", "--quiet", "--python", sys.executable, place / "venv", cwd=place)
    into = ("pip", "install", "--quiet", "--no-deps", "--python", place / "venv")
    # The lock's own versions, by hash: a user gets others at another time, and no index is asked which there are.
    uv(*into, "--require-hashes", "-r", locked(place, wheel, extras), cwd=place)
    uv(*into, wheel, cwd=place)
    uv("pip", "check", "--quiet", "--python", place / "venv", cwd=place)
    (place / "empty").mkdir()
    return Installed(place / "venv" / "bin", place / "empty")


def locked(place: Path, wheel: Path, extras: tuple[str, ...]) -> Path:
    """The lock's lines for what the wheel says that it needs, and what that needs in turn; nothing that only tests need."""
    wanted = needed(metadata_of(wheel), extras)
    lines, taken = [], False
    for line in PINNED.read_text().splitlines(keepends=True):
        if line[:1].isalnum():
            taken = canonicalize_name(line.partition("==")[0]) in wanted
        lines += [line] if taken else []
    path = place / "locked.txt"
    path.write_text("".join(lines))
    return path


def metadata_of(wheel: Path) -> list[Requirement]:
    """What the wheel's metadata says that it requires."""
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (one for one in opened.namelist() if one.endswith(".dist-info/METADATA"))
        told = email.message_from_bytes(opened.read(name))
    return [Requirement(text) for text in told.get_all("Requires-Dist", [])]


def needed(requirements: list[Requirement], extras: tuple[str, ...]) -> set[str]:
    """Names of these packages and of all that they need, as those installed beside the tests say."""
    found: set[str] = set()
    seen: set[tuple[str, tuple[str, ...]]] = set()
    open_ones = [(one, extras) for one in requirements]
    while open_ones:
        one, given = open_ones.pop()
        if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in ("", *given)):
            continue
        name, wished = canonicalize_name(one.name), tuple(sorted(one.extras))
        if (name, wished) in seen:
            continue
        seen.add((name, wished))
        found.add(name)
        open_ones += [(Requirement(text), wished) for text in distribution(name).requires or []]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Iterator[Installed]:
    installed = install(tmp_path_factory.mktemp("whole"), wheel, "local")
    yield installed
    installed.dayfly("local", "down")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    return install(tmp_path_factory.mktemp("bare"), wheel)


def test_the_wheel_holds_both_packages_and_the_demo_s_project_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    needed = ("dayfly/example.toml", "dayfly/remote/agent/boothook.sh", "dayfly/examples/pi/pyproject.toml")
    assert [name for name in (*needed, "dayfly/cli/main.py", "localcloud/__main__.py") if name not in names] == []
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dayfly", "localcloud"}
    assert [name for name in names if "__pycache__" in name or name.endswith((".pyc", "dayfly.toml.lock"))] == []


def without_index(place: Path) -> dict[str, str]:
    """The environment in which the demo finds what its example needs without asking an index."""
    into = ("--target", place / "kept", "--python", sys.executable)
    done = client("pip", "install", "--quiet", "--require-hashes", *into, "-r", EXAMPLE_LOCK, cwd=place)
    if done.returncode == 0:
        return {"UV_OFFLINE": "1"}
    # No network, and what `scripts/setup` fetched is kept without a word on what it needs in turn. Its lock is whole.
    config = place / "uv.toml"
    config.write_text("[pip]\nno-deps = true\n")
    return {"UV_OFFLINE": "1", "UV_CONFIG_FILE": str(config)}


@pytest.mark.cloud
@pytest.mark.slow
def test_the_demo_runs_from_the_wheel_in_an_empty_directory(whole: Installed) -> None:
    done = whole.dayfly("demo", "--json", "--seconds", "2", **without_index(whole.bin.parents[1]))
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["outcome"] == "succeeded"
    assert document["servers_left"] == 0
    assert document["digits"] >= 1000
    result = whole.folder / document["result"]
    assert result.read_bytes().startswith(b"3.14159")
    assert sorted(path.name for path in whole.folder.iterdir()) == [".dayfly"]
    assert json.loads(whole.dayfly("local", "status", "--json").stdout)["running"] is False
    assert nobody_runs_from(whole.bin.parent)


def nobody_runs_from(place: Path) -> bool:
    """Whether no process of this machine was started by a program of that environment."""
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "cmdline").read_bytes()
        except OSError:
            continue
        if str(place).encode() in words:
            return False
    return True


def test_without_the_extra_the_demo_says_what_to_install(bare: Installed) -> None:
    done = bare.dayfly("demo")
    assert done.returncode == 2
    assert "the local cloud is not installed" in done.stderr
    assert "dayfly[local]" in done.stderr
    assert list(bare.folder.glob(".dayfly/cloud/*")) == []


def test_without_the_extra_it_says_its_version_and_checks_a_project(bare: Installed) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in bare.dayfly("--version").stdout
    assert bare.dayfly("init", "--name", "fresh").returncode == 0
    assert bare.dayfly("check").returncode == 0
