"""The EC2 query protocol, from the SDK's service model: parses parameters into structures, renders structures as XML.

It refuses parameters that the model does not have, as AWS does. What an action does lives elsewhere.
"""

import base64
import datetime
import re
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import botocore.loaders
import botocore.model

from localcloud.ec2.errors import Ec2Error

_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
_COMMON = frozenset(
    {"Action", "Version", "AWSAccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "Timestamp"}
)
NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A character that XML 1.0 cannot hold, not even escaped."""
# New instance types appear before the SDK's model has them; types.py decides which exist here.
_OPEN_ENUMS = frozenset(("InstanceType",))

Params = dict[str, Any]


@cache
def service() -> botocore.model.ServiceModel:
    """Return the EC2 service model. The first call takes about a fifth of a second."""
    loaded = botocore.loaders.Loader().load_service_model("ec2", "service-2")
    return botocore.model.ServiceModel(loaded, "ec2")


def knows(action: str) -> bool:
    """Whether EC2 has an action of this name."""
    return action in service().operation_names


def parse(action: str, query: dict[str, str]) -> Params:
    """Parse the flat query of an action, such as `{"Filter.1.Name": ...}`, into a structure.

    Raises Ec2Error: UnknownParameter for a name that the action does not have, InvalidParameterValue for a wrong type.
    """
    shape = service().operation_model(action).input_shape
    rest = {name: value for name, value in query.items() if name not in _COMMON and not name.startswith("X-Amz-")}
    if shape is None:
        return {}
    return _structure(shape, _nest(rest))


def coerce(shape_name: str, value: Any) -> Any:
    """Convert a JSON value, for example from a template, to the named shape. Raises Ec2Error as `parse` does."""
    return _coerce(service().shape_for(shape_name), value, shape_name)


def project(shape_name: str, value: Any) -> Any:
    """Return only those parts of a JSON value that the named shape has; for records that MiniStack keeps."""
    return _project(service().shape_for(shape_name), value)


def _project(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        return {
            name: _project(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) not in (None, "")
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_project(shape.member, item) for item in value]
    return value


def render(action: str, answer: Params, request_id: str) -> bytes:
    """Return the XML of a successful answer. Raises KeyError for a member that the model does not have."""
    shape = service().operation_model(action).output_shape
    if shape is None or not shape.members:
        content = "<return>true</return>"
    else:
        content = _members(shape, answer)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{_NAMESPACE}">'
        f"<requestId>{request_id}</requestId>{content}</{action}Response>"
    ).encode()


def render_error(error: Ec2Error, request_id: str) -> bytes:
    """Return the XML of an error answer."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(NOT_XML.sub('?', error.message))}</Message>"
        f"</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    ).encode()


def _nest(flat: dict[str, str]) -> dict[str, Any]:
    """Return nested dicts for dotted names: `A.1.B` becomes `{"A": {"1": {"B": ...}}}`. Raises Ec2Error."""
    root: dict[str, Any] = {}
    for name, value in flat.items():
        here = root
        *path, last = name.split(".")
        for part in path:
            below = here.setdefault(part, {})
            if not isinstance(below, dict):
                raise Ec2Error("UnknownParameter", f"The parameter {name} is not recognized")
            here = below
        here[last] = value
    return root


def _query_name(name: str, shape: Any) -> str:
    """Return a member's name in a query: its queryName, or its locationName with a capital letter, or its own name."""
    serialized = shape.serialization
    if "queryName" in serialized:
        return str(serialized["queryName"])
    if "name" in serialized:
        location = str(serialized["name"])
        return location[0].upper() + location[1:]
    return name


def _structure(shape: Any, nested: Any, where: str = "") -> Params:
    if not isinstance(nested, dict):
        raise Ec2Error("InvalidParameterValue", f"The parameter {where} must be a structure")
    members = {_query_name(name, member): (name, member) for name, member in shape.members.items()}
    found: Params = {}
    for key, value in nested.items():
        path = f"{where}.{key}".removeprefix(".")
        if key not in members:
            raise Ec2Error("UnknownParameter", f"The parameter {path} is not recognized")
        name, member = members[key]
        found[name] = _value(member, value, path)
    return found


def _value(shape: Any, value: Any, where: str) -> Any:
    if shape.type_name == "structure":
        return _structure(shape, value, where)
    if shape.type_name == "list":
        if not isinstance(value, dict) or not all(key.isdigit() for key in value):
            raise Ec2Error("InvalidParameterValue", f"The parameter {where} must be a list")
        return [_value(shape.member, value[key], f"{where}.{key}") for key in sorted(value, key=int)]
    if isinstance(value, dict):
        raise Ec2Error("UnknownParameter", f"The parameter {where}.{next(iter(value))} is not recognized")
    return _scalar(shape, value, where)


def _scalar(shape: Any, value: Any, where: str) -> Any:
    try:
        match shape.type_name:
            case "boolean":
                return {"true": True, "false": False}[str(value).lower()]
            case "integer" | "long":
                return int(value)
            case "float" | "double":
                return float(value)
            case "blob":
                return _blob(value)
            case _:
                return _text(shape, str(value))
    except (KeyError, ValueError, TypeError) as error:
        raise Ec2Error("InvalidParameterValue", f"Invalid value '{value}' for {where}.") from error


def _blob(value: Any) -> Any:
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    return value


def _text(shape: Any, value: str) -> str:
    """Return the text. Raises ValueError if it is not one of the enum's values."""
    allowed = getattr(shape, "enum", ())
    if allowed and shape.name not in _OPEN_ENUMS and value not in allowed:
        raise ValueError(value)
    return value


def _coerce(shape: Any, value: Any, where: str) -> Any:
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            raise Ec2Error("InvalidParameterValue", f"{where} must be a structure")
        found = {}
        for key, item in value.items():
            name = _member_name(shape, key, where)
            found[name] = _coerce(shape.members[name], item, f"{where}.{key}")
        return found
    if shape.type_name == "list":
        if not isinstance(value, list):
            raise Ec2Error("InvalidParameterValue", f"{where} must be a list")
        return [_coerce(shape.member, item, where) for item in value]
    return _scalar(shape, value, where)


def _member_name(shape: Any, key: str, where: str) -> str:
    """Return the member that a template's key names, by its own name or by its name in a query. Raises Ec2Error."""
    for name, member in shape.members.items():
        if key in (name, _query_name(name, member)):
            return str(name)
    raise Ec2Error("UnknownParameter", f"{where} has no property {key}")


def _members(shape: Any, answer: Params) -> str:
    unknown = set(answer) - set(shape.members)
    if unknown:
        raise KeyError(f"{shape.name} has no {', '.join(sorted(unknown))}")
    out = []
    for name, member in shape.members.items():
        value = answer.get(name)
        if value is not None:
            tag = member.serialization.get("name", name)
            out.append(f"<{tag}>{_content(member, value)}</{tag}>")
    return "".join(out)


def _content(shape: Any, value: Any) -> str:
    if shape.type_name == "structure":
        return _members(shape, value)
    if shape.type_name == "list":
        tag = shape.member.serialization.get("name", "item")
        return "".join(f"<{tag}>{_content(shape.member, item)}</{tag}>" for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return escape(str(value))
