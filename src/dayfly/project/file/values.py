"""Validate and convert the value of one key of dayfly.toml. Each function takes tomllib's value and raises Invalid with remedies.

Rules that need a second key (one architecture, a time zone for a schedule) are in config.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from dayfly.core import names, texts
from dayfly.core.model import LONGEST
from dayfly.project.file import durations, instance_types

T = TypeVar("T")
Reader = Callable[[Any], T]
"""Validates and converts a value from tomllib. Raises Invalid."""

_LONGEST = int(LONGEST.total_seconds())
_TAG_KEY = re.compile(r"[A-Za-z0-9+=._:@-]{1,128}")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")
_TAGS = 40  # AWS allows 50 on a resource; dayfly and AWS itself use the others
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,10}){1,2}-[0-9]{1,2}")
_ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Z0-9][A-Za-z0-9_+-]*)*")
_BOUNDARY = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]{1,512}", re.ASCII)
ZONE_FORM = 'an IANA name like "Europe/Berlin", or "UTC"'
DISK_FORM = r"([0-9]{1,5})\s*(GB|TB)"
"""A regular expression that matches the size of a disk."""


class Invalid(Exception):
    """A value that is not valid: what is wrong, why, and the remedies, the best first.

    `at`: the path to the invalid part inside the value. `others`: further problems of the same list or table.
    """

    def __init__(self, message: str, *remedies: str, why: str = "", at: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.remedies = remedies
        self.why = why
        self.at = at
        self.others: tuple[Invalid, ...] = ()


# --- forms ------------------------------------------------------------------------------------------------------------


def string(value: Any) -> str:
    """Return any string, also an empty one."""
    if isinstance(value, str):
        fault = texts.text_fault(value)
        if fault:
            raise Invalid(f"a string {fault}")
        return value
    remedy = f'in quotes: "{value}"' if _is_number(value) else ""
    raise Invalid(f"expected a string, not {_kind(value)}: {shown(value)}", remedy)


def filled(value: Any) -> str:
    """Return a string that is not blank."""
    text = string(value)
    if not text.strip():
        raise Invalid("is empty", "fill it in, or remove the key")
    return text


def flag(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise Invalid(f"expected true or false, not {_kind(value)}: {shown(value)}")
    return value


def strings(value: Any, read: Reader[str] = filled) -> tuple[str, ...]:
    """Return a list of strings without duplicates, each read by `read`."""
    if isinstance(value, str):
        raise Invalid("expected a list", f'["{value}"]')
    if not isinstance(value, list):
        raise Invalid(f"expected a list of strings, not {_kind(value)}: {shown(value)}")
    found: list[str] = []

    def once(element: Any) -> None:
        text = read(element)
        if text in found:
            raise Invalid(f'"{text}" is in the list twice', "remove one of the two")
        found.append(text)

    read_each(enumerate(value), once)
    return tuple(found)


def at_least_one(value: Any, read: Reader[str] = filled) -> tuple[str, ...]:
    """Return a list of strings that is not empty."""
    found = strings(value, read)
    if not found:
        raise Invalid("the list is empty", "name at least one")
    return found


def table(value: Any) -> dict[str, Any]:
    """Return a table; its content is not checked."""
    if not isinstance(value, dict):
        raise Invalid(f"expected a table, not {_kind(value)}: {shown(value)}")
    return value


def read_each(parts: Iterable[tuple[str | int, Any]], take: Callable[[Any], object]) -> None:
    """Call `take` with every part. Raises all its errors together at the end, each with the key of its part."""
    invalid: list[Invalid] = []
    for key, part in parts:
        try:
            take(part)
        except Invalid as error:
            error.at = (key, *error.at)
            invalid.append(error)
    if invalid:
        invalid[0].others = tuple(invalid[1:])
        raise invalid[0]


def one_of(*known: str) -> Reader[str]:
    """Return a reader that accepts only these words."""

    def read(value: Any) -> str:
        text = string(value)
        if text not in known:
            raise Invalid(f'"{text}" is not an allowed value', " or ".join(f'"{word}"' for word in known))
        return text

    return read


def duration(least: int, most: int = _LONGEST, *, why: str = "") -> Reader[int]:
    """Return a reader of a duration, in seconds, between two bounds. `why`: the reason for the bounds."""

    def read(value: Any) -> int:
        form = 'a duration like "90s", "45m", "2h30m" or "7d"'
        if isinstance(value, int) and not isinstance(value, bool):
            raise Invalid(f"{value} has no unit; expected {form}", f'"{value}s"', f'"{value}m"')
        text = string(value)
        try:
            whole = durations.seconds(text)
        except ValueError:
            raise Invalid(f'"{text}" is not {form}') from None
        if whole < least:
            raise Invalid(f'"{text}" is too short', f'at least "{durations.text(least)}"', why=why)
        if whole > most:
            raise Invalid(f'"{text}" is too long', f'at most "{durations.text(most)}"', why=why)
        return whole

    return read


# --- values of the project -----------------------------------------------------------------------------------------------------


def project_name(value: Any) -> str:
    text = string(value)
    if not names.PROJECT_NAME.fullmatch(text):
        why = "a bucket and a stack are named after it"
        message = f'"{text}" is not 2 to 24 of a-z 0-9 -, without - at the ends'
        raise Invalid(message, *_offer(project_name_from(text), names.PROJECT_NAME), why=why)
    return text


def project_name_from(text: str) -> str:
    """Return a valid name as similar to `text` as possible: `Lake of data!` -> `lake-of-data`. Empty if there is none."""
    close = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24].strip("-")
    return close if names.PROJECT_NAME.fullmatch(close) else ""


def account(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        raise Invalid("expected a string, because leading zeros count", f'"{value:012d}"')
    text = string(value)
    if not re.fullmatch(r"[0-9]{12}", text):
        raise Invalid(f'"{text}" is not the 12 digits of an AWS account', "aws sts get-caller-identity shows yours")
    return text


def region(value: Any) -> str:
    text = string(value)
    if not _REGION.fullmatch(text):
        region_of_zone = re.sub(r"(?<=[0-9])[a-z]$", "", text)
        raise Invalid(f'"{text}" is not an AWS region like "eu-west-1"', *_offer(region_of_zone, _REGION))
    return text


def regions(value: Any) -> tuple[str, ...]:
    found = at_least_one(value, region)
    if len(found) > 1:
        raise Invalid("a project has exactly one region", f'["{found[0]}"]')
    return found


def boundary(value: Any) -> str:
    text = string(value)
    if not _BOUNDARY.fullmatch(text):
        raise Invalid(f'"{text}" is not the ARN of an IAM policy', '"arn:aws:iam::123456789012:policy/NAME"')
    return text


def boundary_account(arn: str) -> str:
    """Return the account that owns the policy: 12 digits, or `aws`. Empty for an ARN that is not valid."""
    found = _BOUNDARY.fullmatch(arn)
    return found[1] if found else ""


def tags(value: Any) -> dict[str, str]:
    found: dict[str, str] = {}

    def take(pair: tuple[str, Any]) -> None:
        key, text = pair
        if key.lower().startswith(("aws:", "dayfly:")):
            raise Invalid(f'"{key}": the prefix {key.split(":")[0].lower()}: is reserved', "another name")
        if not _TAG_KEY.fullmatch(key) or key in (".", ".."):
            why = "instance metadata and IAM do not allow spaces, / and commas in it"
            raise Invalid(f'"{key}" is not 1 to 128 letters, digits and + - = . _ : @', why=why)
        if key.lower() in (other.lower() for other in found):
            raise Invalid(f'"{key}" is given twice', "remove one of the two", why="IAM ignores case in tag keys")
        found[key] = _tag_value(text)

    read_each(((key, (key, text)) for key, text in table(value).items()), take)
    if len(found) > _TAGS:
        raise Invalid(
            f"{len(found)} tags; at most {_TAGS}", why="AWS allows 50 on a resource, including those that dayfly sets"
        )
    return found


def _tag_value(value: Any) -> str:
    text = string(value)
    if not _TAG_VALUE.fullmatch(text):
        raise Invalid(f'"{text}" is not up to 256 letters, digits, spaces and . : / = + - @ _')
    return text


def subnet(value: Any) -> str:
    return _resource(value, "subnet")


def security_group(value: Any) -> str:
    return _resource(value, "sg")


def _resource(value: Any, prefix: str) -> str:
    text = string(value)
    if not re.fullmatch(prefix + r"-[0-9a-f]{8,17}", text):
        raise Invalid(f'"{text}" is not an id like "{prefix}-0a1b2c3d4e5f67890"')
    return text


# --- values of a job -----------------------------------------------------------------------------------------------------------


def command(value: Any) -> str | tuple[str, ...]:
    if not isinstance(value, list):
        return filled(value)
    parts: list[str] = []
    read_each(enumerate(value), lambda part: parts.append(string(part)))
    if not parts or not parts[0].strip():
        raise Invalid("names no program", '["python", "main.py"]')
    return tuple(parts)


def schedule(value: Any) -> tuple[str, ...]:
    """Return the expressions as written. They are parsed in config.py, where the time zone is known."""
    if isinstance(value, str):
        return (filled(value),)
    return strings(value)


def zone_name(value: Any) -> str:
    text = string(value)
    if not _ZONE.fullmatch(text) or len(text) > 50:
        close = "/".join(part.strip().title().replace(" ", "_") for part in text.split("/"))
        raise Invalid(f'"{text}" is not a time zone', *_offer(close, _ZONE), ZONE_FORM)
    return text


def server_type(value: Any) -> str:
    text = string(value)
    try:
        linux = instance_types.runs_linux(text)
    except ValueError:
        raise Invalid(f'"{text}" is not an EC2 type', 'a name like "c8g.large"') from None
    if not linux:
        raise Invalid(
            f'"{text}" only runs macOS', why="an Apple server is rented for at least 24 hours, not for one run"
        )
    return text


def disk(value: Any) -> int:
    """Return a disk size in GB."""
    found = re.fullmatch(DISK_FORM, string(value))
    if not found:
        raise Invalid(f'"{value}" is not a size like "50GB"')
    size = int(found[1]) * {"GB": 1, "TB": 1000}[found[2]]
    if not 8 <= size <= 16_000:
        raise Invalid(f'"{value}" is not 8GB to 16TB')
    return size


def image(value: Any) -> str:
    text = string(value)
    if text != "debian-13" and not re.fullmatch(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?", text):
        raise Invalid(
            f'"{text}" is not an image', '"debian-13"', 'your own image by its id, like "ami-0a1b2c3d4e5f67890"'
        )
    return text


def path(value: Any) -> str:
    """Return a relative path that stays in the job's folder."""
    text = filled(value)
    fault = texts.word_fault(text)
    if fault:
        raise Invalid(f"a path {fault}")
    if text.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", text):
        raise Invalid(f'"{text}" is not relative', why="paths are relative to the job's folder")
    if ".." in text.replace("\\", "/").split("/"):
        raise Invalid(f'"{text}" leaves the folder', why="a path stays inside the job's folder")
    return text


def output(value: Any) -> str:
    text = path(value)
    if text.endswith("/") or text == ".":
        everything = text.removesuffix(".") + "**"
        raise Invalid(f'"{text}" is a folder; outputs are files', f'"{everything}"')
    return text


def python(value: Any) -> str:
    text = path(value)
    if text not in ("auto", "none") and not text.endswith((".lock", ".toml", ".txt")):
        raise Invalid(
            f'"{text}" is not a file that lists dependencies', '"auto", "none", or a file like "requirements.txt"'
        )
    return text


def variables(value: Any) -> dict[str, str]:
    found: dict[str, str] = {}

    def take(pair: tuple[str, Any]) -> None:
        name, text = pair
        fault = texts.variable_fault(name)
        if fault:
            raise Invalid(f'"{name}" {fault}', "another name")
        found[name] = string(text)

    read_each(((name, (name, text)) for name, text in table(value).items()), take)
    fault = texts.variables_fault(found)
    if fault:
        raise Invalid(fault, "put large values in a file of the bundle")
    return found


# --- words for messages ------------------------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """Return a value as it is written in the file, shortened to 60 characters."""
    text = str(value)
    if isinstance(value, bool):
        text = text.lower()
    elif isinstance(value, str):
        text = f'"{text}"'
    return text if len(text) <= 60 else text[:57] + "..."


def _offer(text: str, form: re.Pattern[str]) -> list[str]:
    """Return the text as a remedy if it has the right form, otherwise nothing."""
    if not form.fullmatch(text):
        return []
    return [shown(text)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: tuple[tuple[type, str], ...] = (
    (Mapping, "a table"),
    (list, "a list"),
    (bool, "true or false"),  # before int: a bool is one
    (str, "a string"),
    (int, "a number"),
    (float, "a number"),
)


def _kind(value: Any) -> str:
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "a date")
