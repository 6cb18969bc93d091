"""Every private name of MiniStack that localcloud uses is checked at import and explained in docs/seams.md."""

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
# The variables by which localcloud refers to MiniStack's modules.
HOLDERS = (
    r"(?:evaluator|iam|s3|ssm|functions|stacks|logs|provisioners|store|bus|actions|responses|router"
    r"|self\._(?:lambda|module|app|persistence|records)|seams\.(?:module\(\"\w+\"\)|evaluator\(\)))"
)


@pytest.mark.parametrize("module", seams.REQUIRED)
def test_every_required_name_is_on_the_page(module: str) -> None:
    missing = [name for name in seams.REQUIRED[module] if f"`{name}`" not in PAGE]
    assert missing == []


def test_every_private_name_in_use_is_required() -> None:
    checked = {name for names in seams.REQUIRED.values() for name in names}
    touched = {
        (source.name, name)
        for source in SOURCES
        for name in re.findall(HOLDERS + r"\.(_(?!_)[a-z_]+)\b", source.read_text(), flags=re.IGNORECASE)
    }
    assert len(touched) > 20
    assert sorted((source, name) for source, name in touched if name not in checked and name != "_data") == []


def test_missing_name_stops_up_and_is_named(tmp_path: Path) -> None:
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
    ids=["another version", "no MiniStack", "a dependency is missing"],
)
def test_wrong_ministack_is_reported_with_the_version_to_install(tmp_path: Path, before: str, said: str) -> None:
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
