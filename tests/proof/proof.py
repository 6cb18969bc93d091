"""Judge every case: what dayfly was recorded to ask, and what is known to be allowed or denied. Node judges; nothing is judged here."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project.rendering import ACCOUNT
from proof import recorded
from proof.attacks import ALLOWED, CASES, DENIED, Case
from proof.roles import BUCKET, BUCKET_POLICY, ROLES

HERE = Path(__file__).parent
_ANSWERS = {"Allowed": ALLOWED, "ImplicitlyDenied": DENIED, "ExplicitlyDenied": DENIED}


@dataclass(frozen=True)
class Judged:
    """A case and what the evaluator said: allowed, denied, or why it could not judge."""

    case: Case
    got: str

    @property
    def right(self) -> bool:
        return self.got == self.case.expected


def missing() -> str:
    """Return what the evaluator lacks on this machine; empty when it can run."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (HERE / "node_modules").is_dir():
        return "the evaluator is not installed: scripts/setup-proof"
    return ""


def recorded_cases() -> list[Case]:
    """Return a case for each request that launcher, sweeper and CLI were recorded to send. Each must be allowed."""
    found = []
    for who, run in recorded.ACTORS.items():
        for asked, operation in recorded.requests(run()):
            found.append(Case(operation, who, asked.action, asked.resource, ALLOWED, dict(asked.context)))
    return found


def judge(cases: list[Case]) -> list[Judged]:
    """Return what IAM's rules say to these cases."""
    asked = json.dumps([_request(case) for case in cases])
    said = subprocess.run(["node", HERE / "evaluate.mjs"], input=asked, capture_output=True, text=True, check=True)
    return [Judged(case, _ANSWERS.get(each, each)) for case, each in zip(cases, json.loads(said.stdout), strict=True)]


def all_cases() -> list[Case]:
    return [*recorded_cases(), *CASES]


def _request(case: Case) -> dict[str, Any]:
    role = ROLES[case.role]
    # The ARN of a public parameter has no account, and the evaluator's data knows none without one.
    policies = json.loads(json.dumps(role.policies).replace("::parameter/aws/", ":000000000000:parameter/aws/"))
    in_bucket = case.resource.startswith(f"arn:aws:s3:::{BUCKET}")
    return {
        "principal": role.session,
        "action": case.action,
        "resource": case.resource.replace("::parameter/aws/", ":000000000000:parameter/aws/"),
        "account": ACCOUNT,
        "context": case.context,
        "policies": policies,
        "resourcePolicy": BUCKET_POLICY if in_bucket else None,
    }
