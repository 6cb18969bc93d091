"""What two public linters say: cfn-lint to the template, parliament to every policy. EXPLAINED holds the findings that stay, and why."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import parliament

from dayfly.project.stack import template
from proof.roles import ROLES, STACK

EXPLAINED: Mapping[str, str] = {
    "RESOURCE_MISMATCH [{'action': 'ec2:": "a launch has several kinds of resources, each in a statement with a condition of its own",
    "RESOURCE_MISMATCH [{'action': 'ssm:GetParameter'": "the ARN of a public parameter has no account",
    "deployer: RESOURCE_STAR ['ec2:Describe": "EC2 does not limit what is only looked at, so all of Describe is granted",
    "deployer: RESOURCE_MISMATCH [{'action': 'lambda:": "all actions on the project's functions; those on other things get nothing",
    "deployer: RESOURCE_MISMATCH [{'action': 'scheduler:": "the same, for the project's schedules",
    "deployer: RESOURCE_MISMATCH [{'action': 'events:": "the same, for the project's rules",
    "deployer: RESOURCE_MISMATCH [{'action': 'sqs:": "the same, for the project's queue",
    "deployer: RESOURCE_MISMATCH [{'action': 'sns:": "the same, for the project's topic",
    "deployer: RESOURCE_MISMATCH [{'action': 'ssm:": "the same, for the project's parameter",
    "deployer: RESOURCE_MISMATCH [{'action': 'logs:": "the same, for the project's log groups",
    "deployer: INVALID_ARN Account expected": "the account of AWS's own policies is `aws`",
    "UNKNOWN_ACTION Unknown action freetier:": "newer than the linter's data; the evaluator knows it",
}


def ran() -> str:
    return f"cfn-lint on the template, parliament on {sum(len(role.policies) for role in ROLES.values())} policies"


def findings() -> list[str]:
    """Return each finding that nothing explains."""
    return [*_of_template(), *(finding for finding in _of_policies() if not _explained(finding))]


def unused() -> list[str]:
    """Return the explanations that explain no finding."""
    said = list(_of_policies())
    return [part for part in EXPLAINED if not any(part in finding for finding in said)]


def _explained(finding: str) -> bool:
    return any(part in finding for part in EXPLAINED)


def _of_template() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stack.json"
        path.write_text(template.text(STACK))
        lint = Path(sys.executable).parent / "cfn-lint"
        done = subprocess.run([lint, "--format", "parseable", path], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def _of_policies() -> list[str]:
    found = []
    for role in ROLES.values():
        for policy in role.policies:
            analyzed = parliament.analyze_policy_string(json.dumps(policy))
            found += [
                f"{role.name}: {each.issue} {each.detail} {json.dumps(each.location)}" for each in analyzed.findings
            ]
    return found
