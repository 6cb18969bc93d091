"""The resource names that a request is judged on, where MiniStack derives another than AWS does.

One ARN as MiniStack expects it; where AWS judges several, they travel as one text and `several` takes them apart.
"""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from localcloud.ministack import seams

_AND = "\n"
_PUBLIC = "/aws/service/"

Extract = Callable[..., str]


def several(arn: str) -> list[str]:
    """The ARNs that one request is judged on."""
    return arn.split(_AND)


def extract(known: Extract) -> Extract:
    """MiniStack's derivation with ours before it."""

    def derive(
        service: str,
        method: str,
        path: str,
        headers: Any,
        body: bytes,
        query: Any,
        region: str,
        account: str,
    ) -> str:
        place = f"{region}:{account}"
        ours: str | None = None
        if service == "scheduler":
            ours = _scheduler(path, body, query, place)
        elif service == "ssm":
            ours = _parameters(body, region, account)
        elif service == "iam":
            ours = _identities(body, query, account)
        elif service == "ec2" and _said(body, query, "Action").startswith("Describe"):
            ours = "*"
        elif service == "logs" and "Tag" not in headers.get("x-amz-target", ""):
            ours = _logs(body, place)
        return ours or known(service, method, path, headers, body, query, region, account)

    return derive


def _scheduler(path: str, body: bytes, query: Any, place: str) -> str | None:
    """schedule/GROUP/NAME: the group is in the body of a write and in the query of the rest."""
    found = re.fullmatch(r"/schedules/([^/]+)", path)
    if found is None:
        return None
    group = _json(body).get("GroupName") or _first(query.get("groupName")) or "default"
    return f"arn:aws:scheduler:{place}:schedule/{group}/{found[1]}"


def _parameters(body: bytes, region: str, account: str) -> str | None:
    """Public parameters belong to no account, and GetParameters is judged on each of its names."""
    said = _json(body)
    names = said.get("Names") or ([said["Name"]] if isinstance(said.get("Name"), str) else [])
    if not names or not all(isinstance(name, str) for name in names):
        return None
    return _AND.join(
        f"arn:aws:ssm:{region}:{'' if name.startswith(_PUBLIC) else account}:parameter/{name.lstrip('/')}"
        for name in names
    )


def _identities(body: bytes, query: Any, account: str) -> str | None:
    """Roles and instance profiles with their path."""
    profile, role = _said(body, query, "InstanceProfileName"), _said(body, query, "RoleName")
    path, iam = _said(body, query, "Path") or "/", seams.module("iam")
    if profile:
        known = iam._instance_profiles.get(profile)
        return known["Arn"] if known else f"arn:aws:iam::{account}:instance-profile{path}{profile}"
    if role:
        known = iam._roles.get(role)
        return known["Arn"] if known else f"arn:aws:iam::{account}:role{path}{role}"
    return None


def _logs(body: bytes, place: str) -> str | None:
    """A log group's ARN ends in `:*`, a log stream's in its name."""
    said = _json(body)
    group, stream = said.get("logGroupName"), said.get("logStreamName")
    if not group:
        return None
    return f"arn:aws:logs:{place}:log-group:{group}:" + (f"log-stream:{stream}" if stream else "*")


def _json(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _said(body: bytes, query: Any, name: str) -> str:
    """A parameter of the query protocol, from the query or the form."""
    value = _first(query.get(name))
    if value or not body:
        return value
    return _first(parse_qs(body.decode("utf-8", "replace")).get(name))


def _first(value: Any) -> str:
    found = value[0] if isinstance(value, list) and value else value
    return found if isinstance(found, str) else ""
