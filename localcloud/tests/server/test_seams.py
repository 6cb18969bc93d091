"""Every private name of MiniStack that this package touches is checked at import and explained on one page."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.ministack import seams

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "seams.md").read_text()
SOURCES = sorted((ROOT / "src" / "localcloud").rglob("*.py"))
# How this package calls MiniStack's modules where it uses them.
HOLDERS = (
    r"(?:evaluator|iam|s3|ssm|functions|stacks|logs|provisioners|store|bus|actions|responses|router"
    r"|self\._(?:lambda|module|app|persistence|records)|seams\.(?:module\(\"\w+\"\)|evaluator\(\)))"
)


@pytest.mark.parametrize("module", seams.REQUIRED)
def test_every_checked_name_is_on_the_page(module: str) -> None:
    missing = [name for name in seams.REQUIRED[module] if f"`{name}`" not in PAGE]
    assert missing == []


def test_every_touched_private_name_is_checked() -> None:
    checked = {name for names in seams.REQUIRED.values() for name in names}
    touched = {
        (source.name, name)
        for source in SOURCES
        for name in re.findall(HOLDERS + r"\.(_(?!_)[a-z_]+)\b", source.read_text(), flags=re.IGNORECASE)
    }
    assert len(touched) > 20
    assert sorted((source, name) for source, name in touched if name not in checked and name != "_data") == []


def test_a_missing_name_ends_up_with_its_name(tmp_path: Path) -> None:
    script = """
import sys
from localcloud.commandline import main as command
from localcloud.ministack import seams
seams.REQUIRED["ministack.core.router"] += ("_went_away",)
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
        ("seams.VERSION = '1.5.32'", "MiniStack 1.5.33 is installed."),
        ("seams.PACKAGE = 'ministack-that-nobody-has'", "MiniStack is not installed."),
        ("sys.modules['hypercorn'] = None", "is not installed"),
    ],
    ids=["another version", "no MiniStack", "nothing of it"],
)
def test_a_missing_or_another_ministack_is_said_with_the_one_to_install(tmp_path: Path, before: str, said: str) -> None:
    script = f"""
import sys
from localcloud.commandline import main as command
from localcloud.ministack import seams
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


def test_nothing_of_another_package_is_named_here() -> None:
    assert [source.name for source in SOURCES if "dayfly" in source.read_text().lower()] == []
