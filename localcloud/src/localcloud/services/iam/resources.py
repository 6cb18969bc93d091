"""The ARN of the resource that a request is authorized on, where MiniStack derives another than AWS does.

MiniStack passes one ARN. Where AWS authorizes several, they are joined into one text, which `several` splits.
"""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from localcloud.ministack import identities

_SEPARATOR = "\n"
_PUBLIC = "/aws/service/"

Extract = Callable[..., str]


def several(arn: str) -> list[str]:
    """Return the ARNs that one request is authorized on."""
    return arn.split(_SEPARATOR)


def extract(derive: Extract) -> Extract:
    """Return MiniStack's derivation, corrected for the services below."""

    def extract_one(
        service: str, method: str, path: str, headers: Any, body: bytes, query: Any, region: str, account: str
    ) -> str:
        found: str | None = None
        match service:
            case "scheduler":
                found = _schedule(path, body, query, f"{region}:{account}")
            case "ssm":
                found = _parameters(body, region, account)
            case "iam":
                found = _identities(body, query, account)
            case "ec2" if parameter(body, query, "Action").startswith("Describe"):
                found = "*"
            case "logs" if "Tag" not in headers.get("x-amz-target", ""):
                found = _logs(body, f"{region}:{account}")
        return found or derive(service, method, path, headers, body, query, region, account)

    return extract_one


def parameter(body: bytes, query: Any, name: str) -> str:
    """Return a parameter of the query protocol, from the query or the form; "" when it is in neither."""
    value = _first(query.get(name))
    if value or not body:
        return value
    return _first(parse_qs(body.decode("utf-8", "replace")).get(name))


def _schedule(path: str, body: bytes, query: Any, place: str) -> str | None:
    """Return the ARN of a schedule, or None. A write has the group in its body, every other request in its query."""
    found = re.fullmatch(r"/schedules/([^/]+)", path)
    if found is None:
        return None
    group = _json(body).get("GroupName") or _first(query.get("groupName")) or "default"
    return f"arn:aws:scheduler:{place}:schedule/{group}/{found[1]}"


def _parameters(body: bytes, region: str, account: str) -> str | None:
    """Return the ARN of each parameter that a request names, or None. Public parameters belong to no account."""
    request = _json(body)
    names = request.get("Names") or [request.get("Name")]
    if not all(isinstance(name, str) for name in names):
        return None
    return _SEPARATOR.join(_parameter(name, region, account) for name in names)


def _parameter(name: str, region: str, account: str) -> str:
    """Return the ARN of a parameter that a request gives by name or ARN, with a version (":3") or without."""
    if name.startswith("arn:"):
        return ":".join(name.split(":")[:6])
    name = name.partition(":")[0]
    owner = "" if name.startswith(_PUBLIC) else account
    return f"arn:aws:ssm:{region}:{owner}:parameter/{name.lstrip('/')}"


def _identities(body: bytes, query: Any, account: str) -> str | None:
    """Return the ARN of the role or instance profile that a request names, with its path, or None."""
    profile, role = parameter(body, query, "InstanceProfileName"), parameter(body, query, "RoleName")
    path = parameter(body, query, "Path") or "/"
    if profile:
        known, arn = identities.instance_profile(profile), f"arn:aws:iam::{account}:instance-profile{path}{profile}"
    elif role:
        known, arn = identities.role(role), f"arn:aws:iam::{account}:role{path}{role}"
    else:
        return None
    return str(known["Arn"]) if known else arn


def _logs(body: bytes, place: str) -> str | None:
    """Return the ARN of a log group, which ends in `:*`, or of a log stream; or None."""
    request = _json(body)
    group, stream = request.get("logGroupName"), request.get("logStreamName")
    if not group:
        return None
    within = f"log-stream:{stream}" if stream else "*"
    return f"arn:aws:logs:{place}:log-group:{group}:{within}"


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _first(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""
