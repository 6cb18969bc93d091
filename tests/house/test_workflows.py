"""Workflows, hooks and templates parse, pin their actions, ask for few rights and call the project's own commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
YAML_FILES = [*sorted((ROOT / ".github").rglob("*.yml")), ROOT / ".pre-commit-config.yaml"]
PIN = re.compile(r"[\w./-]+@[0-9a-f]{40}")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in load(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", YAML_FILES, ids=named)
def test_file_parses(path: Path) -> None:
    assert load(path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert [action for action in used if not PIN.fullmatch(action)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_jobs_read_only_unless_they_publish(path: Path) -> None:
    assert load(path)["permissions"] in ({}, {"contents": "read"})
    for name, job in load(path)["jobs"].items():
        allowed = {"contents": "read"}
        if name == "publish":
            allowed["id-token"] = "write"
        assert job.get("permissions", {}).items() <= allowed.items()
        assert job["timeout-minutes"] <= 60


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_commands_interpolate_nothing(path: Path) -> None:
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_checkouts_keep_no_credentials(path: Path) -> None:
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_ci_runs_the_gate_on_every_python() -> None:
    check = load(ROOT / ".github/workflows/ci.yml")["jobs"]["check"]
    assert check["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert "make check" in [step.get("run") for step in check["steps"]]


def test_workflows_and_hooks_call_make_targets_that_exist() -> None:
    commands = [step["run"] for path in WORKFLOWS for step in steps(path) if "run" in step]
    commands += [hook["entry"] for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    targets = [found for command in commands for found in re.findall(r"^make (?:-C \w+ )?([a-z-]+)", command)]
    assert len(targets) > 4
    assert set(targets) <= TARGETS


def test_local_ci_runs_check_and_test() -> None:
    text = (ROOT / ".ci/run").read_text()
    assert re.findall(r"make (\w+)", text.partition("\n")[2]) == ["check", "test"]
