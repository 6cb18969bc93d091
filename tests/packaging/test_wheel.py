"""The wheel as a user gets it: built, installed in an empty directory, run in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[2]
PINNED = ROOT / "requirements" / "dev.txt"
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


def uv(*words: str | Path, cwd: Path) -> None:
    """The package client: what it has already is enough where it can be, else it asks its own registry."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = run(find_uv_bin(), *words, "--offline", cwd=cwd, env=env)
    if done.returncode != 0:
        done = run(find_uv_bin(), *words, cwd=cwd, env=env)
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

    def dayfly(self, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if key.startswith(CLIENT)}
        env |= {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}
        return run(self.bin / "dayfly", *words, cwd=self.folder, env=env, timeout=timeout)


def install(place: Path, wheel: Path, extra: str) -> Installed:
    uv("venv", "--quiet", "--python", sys.executable, place / "venv", cwd=place)
    wanted = f"{wheel}{extra}"
    # The lock's versions, as constraints: what a user gets at another time must not break this test.
    uv("pip", "install", "--quiet", "--python", place / "venv", "-c", constraints(place), wanted, cwd=place)
    (place / "empty").mkdir()
    return Installed(place / "venv" / "bin", place / "empty")


def constraints(place: Path) -> Path:
    """The lock without its hashes: a wheel built here has none to hold."""
    lines = [line for line in PINNED.read_text().splitlines() if line[:1].isalnum()]
    path = place / "constraints.txt"
    path.write_text("".join(line.removesuffix("\\").rstrip() + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Iterator[Installed]:
    installed = install(tmp_path_factory.mktemp("whole"), wheel, "[local]")
    yield installed
    installed.dayfly("local", "down")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    return install(tmp_path_factory.mktemp("bare"), wheel, "")


def test_the_wheel_holds_both_packages_and_the_demo_s_project_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    needed = ("dayfly/example.toml", "dayfly/remote/agent/boothook.sh", "dayfly/examples/pi/pyproject.toml")
    assert [name for name in (*needed, "dayfly/cli/main.py", "localcloud/__main__.py") if name not in names] == []
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dayfly", "localcloud"}
    assert [name for name in names if "__pycache__" in name or name.endswith((".pyc", "dayfly.toml.lock"))] == []


@pytest.mark.cloud
@pytest.mark.slow
def test_the_demo_runs_from_the_wheel_in_an_empty_directory(whole: Installed) -> None:
    done = whole.dayfly("demo", "--json", "--seconds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["outcome"] == "succeeded"
    assert document["servers_left"] == 0
    assert document["digits"] > 1000
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
