"""The EC2 query protocol, read from the SDK's own service model: parameters in, structures out, structures in, XML out.

What an action does lives elsewhere; a parameter that the model does not know is refused here, as AWS does.
"""

import base64
import datetime
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
# New instance types come faster than models of them; what there is of them here is said by types.py.
_OPEN = frozenset(("InstanceType",))

Params = dict[str, Any]


@cache
def service() -> botocore.model.ServiceModel:
    """The EC2 service model; about a fifth of a second the first time."""
    loaded = botocore.loaders.Loader().load_service_model("ec2", "service-2")
    return botocore.model.ServiceModel(loaded, "ec2")


def knows(action: str) -> bool:
    """Whether EC2 has an action of this name."""
    return action in service().operation_names


def parse(action: str, query: dict[str, str]) -> Params:
    """The structure that the flat query `{"Filter.1.Name": ...}` of `action` carries.

    Raises Ec2Error: UnknownParameter for a name the action does not have, InvalidParameterValue for a value of another type.
    """
    shape = service().operation_model(action).input_shape
    rest = {name: value for name, value in query.items() if name not in _COMMON and not name.startswith("X-Amz-")}
    if shape is None:
        found: Params = {}
    else:
        found = _structure(shape, _nest(rest))
    return found


def coerce(shape_name: str, value: Any) -> Any:
    """A JSON-like value, as a template may hold it, made to fit the named shape. Raises Ec2Error as `parse` does."""
    return _coerce(service().shape_for(shape_name), value, shape_name)


def fitting(shape_name: str, value: Any) -> Any:
    """What of a JSON-like value the named shape has a place for; for records that others keep."""
    return _fitting(service().shape_for(shape_name), value)


def _fitting(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        return {
            name: _fitting(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) not in (None, "")
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_fitting(shape.member, one) for one in value]
    return value


def render(action: str, answer: Params, request_id: str) -> bytes:
    """The XML of a successful answer; raises KeyError when the model has no such member."""
    shape = service().operation_model(action).output_shape
    inner = "" if shape is None else _members(shape, answer)
    if shape is None or not shape.members:
        inner += "<return>true</return>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{_NAMESPACE}">'
        f"<requestId>{request_id}</requestId>{inner}</{action}Response>"
    ).encode()


def render_error(refusal: Ec2Error, request_id: str) -> bytes:
    """The XML of an error answer."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
        f"</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    ).encode()


def _nest(flat: dict[str, str]) -> dict[str, Any]:
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
    """How a member is called in a query: its queryName, else its locationName with a capital, else its own name."""
    serialized = shape.serialization
    if "queryName" in serialized:
        return str(serialized["queryName"])
    if "name" in serialized:
        given = str(serialized["name"])
        return given[0].upper() + given[1:]
    return name


def _structure(shape: Any, nested: Any, where: str = "") -> Params:
    if not isinstance(nested, dict):
        raise Ec2Error("InvalidParameterValue", f"The parameter {where} must be a structure")
    members = {_query_name(name, member): (name, member) for name, member in shape.members.items()}
    found: Params = {}
    for key, value in nested.items():
        if key not in members:
            path = f"{where}.{key}" if where else key
            raise Ec2Error("UnknownParameter", f"The parameter {path} is not recognized")
        name, member = members[key]
        found[name] = _value(member, value, f"{where}.{key}" if where else key)
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
                return base64.b64decode(value, validate=True) if isinstance(value, str) else value
            case _:
                return _word(shape, value if isinstance(value, str) else str(value))
    except (KeyError, ValueError, TypeError) as error:
        raise Ec2Error("InvalidParameterValue", f"Invalid value '{value}' for {where}.") from error


def _word(shape: Any, value: str) -> str:
    """Raises ValueError for a word that is not of those the model allows."""
    allowed = getattr(shape, "enum", ())
    if allowed and shape.name not in _OPEN and value not in allowed:
        raise ValueError(value)
    return value


def _coerce(shape: Any, value: Any, where: str) -> Any:
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            raise Ec2Error("InvalidParameterValue", f"{where} must be a structure")
        found = {}
        for key, below in value.items():
            name = next((n for n, m in shape.members.items() if key in (n, _query_name(n, m))), None)
            if name is None:
                raise Ec2Error("UnknownParameter", f"{where} has no property {key}")
            found[name] = _coerce(shape.members[name], below, f"{where}.{key}")
        return found
    if shape.type_name == "list":
        if not isinstance(value, list):
            raise Ec2Error("InvalidParameterValue", f"{where} must be a list")
        return [_coerce(shape.member, below, where) for below in value]
    return _scalar(shape, value, where)


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
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return escape(str(value))
