"""The agent's zip and the user data: a change of the agent changes the zip alone; a change of the boothook, the stack."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import dayfly
from dayfly.project.bundle.function_zips import build_function_zip
from dayfly.project.bundle.server_code import build_agent_zip, read_boot_sources
from dayfly.project.deploy.packages import build_user_data, function_key
from dayfly.project.stack import template
from project.stack_input import GIVEN

PACKAGE = Path(dayfly.__file__).parent


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, which a test may change."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "dayfly", ignore=shutil.ignore_patterns("__pycache__")))


def stack_text(package: Path) -> str:
    """Return the text of the stack's template, as a deploy from this package builds it."""
    with TemporaryDirectory() as out:
        launcher, sweeper = (build_function_zip(name, package, Path(out)) for name in ("launcher", "sweeper"))
    zips = {"launcher_zip": function_key(launcher), "sweeper_zip": function_key(sweeper)}
    return template.text(template.build(replace(GIVEN, user_data=build_user_data(package), **zips)))


def agent_digest(package: Path) -> str:
    with TemporaryDirectory() as out:
        return build_agent_zip(package, Path(out)).sha256


def append(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line)


def test_same_sources_give_the_same_agent_and_the_same_stack(package: Path) -> None:
    assert agent_digest(package) == agent_digest(PACKAGE)
    assert stack_text(package) == stack_text(PACKAGE)


def test_agent_change_changes_the_zip_and_no_stack(package: Path) -> None:
    before = agent_digest(package), stack_text(package)
    append(package / "remote" / "agent" / "main.py", "\nCHANGED = True\n")
    assert agent_digest(package) != before[0]
    assert stack_text(package) == before[1]


@pytest.mark.parametrize(("name", "line"), [("boothook.sh", "# changed\n"), ("switch.py", "\nCHANGED = True\n")])
def test_change_of_the_user_data_changes_the_stack(package: Path, name: str, line: str) -> None:
    before = stack_text(package)
    append(package / "remote" / "boot" / name, line)
    assert stack_text(package) != before


def test_agent_zip_has_the_paths_of_the_repository(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_agent_zip(PACKAGE, tmp_path).path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    held.pop("__main__.py")
    assert all(content == (PACKAGE.parent / name).read_bytes() for name, content in held.items())
    assert {name.rsplit("/", 1)[0] for name in held} == {"dayfly/remote/agent", "dayfly/remote/boot"}
    assert "dayfly/remote/agent/main.py" in held


def test_agent_imports_from_its_zip_alone(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_agent_zip(PACKAGE, tmp_path).path) as archive:
        archive.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from dayfly.remote.agent import main; print(main.__file__)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{tmp_path}/dayfly/remote/agent/main.py"


def test_package_without_server_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="remote/agent"):
        build_agent_zip(tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match="remote/boot"):
        read_boot_sources(tmp_path)
