"""Every private name of MiniStack that localcloud uses is checked at import and explained in docs/seams.md."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.ministack import names

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "localcloud"
PAGE = (ROOT / "docs" / "seams.md").read_text()
SOURCES = sorted(PACKAGE.rglob("*.py"))
MINISTACK = [source for source in SOURCES if source.is_relative_to(PACKAGE / "ministack")]
ELSEWHERE = [source for source in SOURCES if source not in MINISTACK]
REQUIRED = names.REQUIRED | names.LATE
PRIVATE = {name for found in REQUIRED.values() for name in found if name.startswith("_")}


def name_of(source: Path) -> str:
    return str(source.relative_to(PACKAGE))


def foreign_private_names(source: Path) -> set[str]:
    """Private attributes that a module uses of anything but its own objects and the standard library's `os`."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute)
        and re.match(r"_(?!_)", node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "os"))
    }


@pytest.mark.parametrize("module", REQUIRED)
def test_every_required_name_is_on_the_page(module: str) -> None:
    assert [name for name in REQUIRED[module] if f"`{name}`" not in PAGE] == []


def test_page_explains_only_required_names() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    explained = {name for row in rows for name in re.findall(r"`(_(?!_)\w+)`", row)}
    assert explained - PRIVATE == set()


def test_ministack_package_uses_the_required_private_names() -> None:
    used = set.union(*(foreign_private_names(source) for source in MINISTACK))
    assert len(used) > 20
    assert used - PRIVATE == set()
    texts = "".join(source.read_text() for source in MINISTACK if source.name != "names.py")
    assert [name for name in sorted(PRIVATE) if not re.search(rf"\b{name}\b", texts)] == []


@pytest.mark.parametrize("source", ELSEWHERE, ids=name_of)
def test_no_foreign_private_name_outside_that_package(source: Path) -> None:
    assert foreign_private_names(source) == set()


@pytest.mark.parametrize("source", ELSEWHERE, ids=name_of)
def test_only_that_package_imports_ministack(source: Path) -> None:
    assert re.findall(r"(?:^|\s)(?:from|import) ministack\b|[\"']ministack\.\w", source.read_text()) == []


def test_missing_name_stops_up_and_is_named(tmp_path: Path) -> None:
    script = """
import sys
from localcloud.commandline import main as command
from localcloud.ministack import names
names.REQUIRED["ministack.core.router"] += ("_went_away",)
sys.exit(command.main(["up", "--foreground", "--json", "--state", sys.argv[1]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "state")], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "ministack.core.router._went_away" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("names.VERSION = '1.5.32'", "MiniStack 1.5.33 is installed."),
        ("names.PACKAGE = 'ministack-that-nobody-has'", "MiniStack is not installed."),
        ("sys.modules['hypercorn'] = None", "is not installed"),
    ],
    ids=["another version", "no MiniStack", "a dependency is missing"],
)
def test_wrong_ministack_is_reported_with_the_version_to_install(tmp_path: Path, before: str, said: str) -> None:
    script = f"""
import sys
from localcloud.commandline import main as command
from localcloud.ministack import names
{before}
sys.exit(command.main(["up", "--foreground", "--json", "--state", sys.argv[1]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "state")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert said in answer["error"]
    assert "==1.5.3" in answer["remedy"]
