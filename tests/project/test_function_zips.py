"""The functions' zips have what a handler imports and no more."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Literal

import pytest

import dayfly
from dayfly.project.bundle.function_zips import build_function_zip, function_files

PACKAGE = Path(dayfly.__file__).parent
HANDLERS: tuple[Literal["launcher", "sweeper"], ...] = ("launcher", "sweeper")


def small_package(where: Path) -> Path:
    files = {
        "__init__.py": "",
        "errors.py": "class No(Exception): ...\n",
        "core/__init__.py": "",
        "core/names.py": "from dayfly import errors\nPLACE = 'Europe/Berlin'\n",
        "project/config.py": "import pathspec\n",
        "core/alone.py": "",
        "remote/__init__.py": "",
        "remote/launcher.py": (
            "from zoneinfo import ZoneInfo\n"
            "def handler(event, context):\n"
            "    from dayfly.core import names\n"
            "    return str(ZoneInfo(names.PLACE))\n"
        ),
        "remote/environment.py": "",
        "remote/sweeper.py": "",
        "remote/agent/main.py": "print(1)\n",
    }
    for name, text in files.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text(text)
    return where


def run_from(archive: Path, code: str, *more: Path) -> str:
    """Run `code` with nothing of this environment on the path but the zip and `more`."""
    places = [str(path) for path in (archive, *more)]
    words = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {places!r}\n{code}"]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=60, env={"PYTHONTZPATH": "", **_bare()}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _bare() -> dict[str, str]:
    return {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}


def test_function_zip_is_its_entry_point_whole_rooms_and_tzdata(tmp_path: Path) -> None:
    package = small_package(tmp_path / "dayfly")
    built = build_function_zip("launcher", package, tmp_path / "out")
    with zipfile.ZipFile(built.path) as archive:
        held = archive.namelist()
    expected = ["__init__.py", "core/__init__.py", "core/alone.py", "core/names.py", "errors.py"]
    expected += ["remote/__init__.py", "remote/environment.py", "remote/launcher.py"]
    assert [name for name in held if name.startswith("dayfly/")] == [f"dayfly/{name}" for name in expected]
    assert "tzdata/zoneinfo/Europe/Tallinn" in held
    assert not [name for name in held if "__pycache__" in name]
    again = build_function_zip("launcher", package, tmp_path / "again")
    assert again.path.read_bytes() == built.path.read_bytes()


def test_function_runs_from_its_zip_alone_and_knows_zones(tmp_path: Path) -> None:
    built = build_function_zip("launcher", small_package(tmp_path / "dayfly"), tmp_path / "out")
    code = "import zoneinfo; zoneinfo.reset_tzpath([])\nfrom dayfly.remote import launcher; print(launcher.handler({}, None))"
    assert run_from(built.path, code) == "Europe/Berlin"


def test_package_without_the_handler_is_refused(tmp_path: Path) -> None:
    package = small_package(tmp_path / "dayfly")
    (package / "remote" / "launcher.py").unlink()
    with pytest.raises(FileNotFoundError, match="launcher"):
        build_function_zip("launcher", package, tmp_path / "out")


@pytest.mark.parametrize("handler", HANDLERS)
def test_handlers_import_from_their_zip_and_boto3_alone(
    handler: Literal["launcher", "sweeper"], tmp_path: Path
) -> None:
    built = build_function_zip(handler, PACKAGE, tmp_path / "out")
    lambda_has = tmp_path / "lambda"
    lambda_has.mkdir()
    import boto3

    for name in ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six.py"):
        (lambda_has / name).symlink_to(Path(boto3.__file__).parents[1] / name)
    code = f"import dayfly.remote.{handler} as module; print(callable(module.handler), module.__file__)"
    answer = run_from(built.path, code, lambda_has)
    assert answer.startswith("True ")
    assert str(built.path) in answer


@pytest.mark.parametrize("handler", HANDLERS)
def test_handlers_import_only_what_lambda_has(handler: str) -> None:
    allowed = sys.stdlib_module_names | {"dayfly", "boto3", "botocore", "s3transfer"}
    for file in function_files(handler, PACKAGE):
        for item in ast.walk(ast.parse((PACKAGE / file).read_text())):
            assert {name.split(".")[0] for name in imported(item)} <= allowed, file


def imported(item: ast.AST) -> list[str]:
    """Return the modules that a statement imports."""
    if isinstance(item, ast.Import):
        return [alias.name for alias in item.names]
    if isinstance(item, ast.ImportFrom):
        return [item.module or ""]
    return []
