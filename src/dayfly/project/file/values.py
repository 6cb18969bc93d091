"""The value of one key of dayfly.toml, read and judged alone: TOML in, what the model holds out, or a refusal with its remedy.

Rules that need a second key (one architecture, a zone for a schedule) are core/config.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from dayfly.core import names
from dayfly.project.file import durations, instance_types

T = TypeVar("T")
Reader = Callable[[Any], T]
"""Takes what tomllib made of a value. Raises Refused."""

_DAY = 86_400
_LONGEST = 366 * _DAY
_TAG_KEY = re.compile(r"[A-Za-z0-9+=._:@-]{1,128}")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")
_TAGS = 40  # AWS takes 50 on a resource; the rest is dayfly's and AWS's own
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,10}){1,2}-[0-9]{1,2}")
_ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Z0-9][A-Za-z0-9_+-]*)*")
_BOUNDARY = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]{1,512}", re.ASCII)
ZONE_FORM = 'an IANA name like "Europe/Berlin", or "UTC"'
_LATER_IMAGES = ("al2023", "ubuntu-24.04")
_RESERVED = re.compile(
    r"DAYFLY_.*|AWS_(?:REGION|DEFAULT_REGION|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|PROFILE|DEFAULT_PROFILE|ROLE_ARN"
    r"|WEB_IDENTITY_.*|CONTAINER_.*|EC2_METADATA_.*|ENDPOINT_URL.*|CONFIG_FILE|SHARED_CREDENTIALS_FILE)"
)


class Refused(Exception):
    """A value that can not be: what, why, remedies (the best first). `at` is the way to the part meant, inside the value.

    `others`: further refusals of the same value, so that all of a list or table are told at once.
    """

    def __init__(self, message: str, *remedies: str, why: str = "", at: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.remedies = remedies
        self.why = why
        self.at = at
        self.others: tuple[Refused, ...] = ()


# --- forms ------------------------------------------------------------------------------------------------------------


def string(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(
            f"{shown(value)} is {_kind(value)}; a string is wanted", f'in quotes: "{value}"' if _plain(value) else ""
        )
    if "\0" in value:
        raise Refused("a string can not hold the character 0")
    return value


def filled(value: Any) -> str:
    text = string(value)
    if not text.strip():
        raise Refused("is empty", "fill it in, or remove the key")
    return text


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refused(f"{shown(value)} is {_kind(value)}; true or false is wanted")
    return value


def strings(value: Any, read: Reader[str] = filled) -> tuple[str, ...]:
    """A list of strings, each read by `read`, none twice."""
    if isinstance(value, str):
        raise Refused("a list is wanted", f'["{value}"]')
    if not isinstance(value, list):
        raise Refused(f"{shown(value)} is {_kind(value)}; a list of strings is wanted")
    found: list[str] = []

    def once(element: Any) -> None:
        text = read(element)
        if text in found:
            raise Refused(f'"{text}" is in the list twice', "remove one of the two")
        found.append(text)

    each(enumerate(value), once)
    return tuple(found)


def some(value: Any, read: Reader[str] = filled) -> tuple[str, ...]:
    found = strings(value, read)
    if not found:
        raise Refused("the list is empty", "name at least one")
    return found


def table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused(f"{shown(value)} is {_kind(value)}; a table is wanted")
    return value


def each(parts: Iterable[tuple[str | int, Any]], take: Callable[[Any], object]) -> None:
    """Gives every part to `take`; what it refuses is raised at the end, all of it, each with its place."""
    refused: list[Refused] = []
    for key, part in parts:
        try:
            take(part)
        except Refused as refusal:
            refusal.at = (key, *refusal.at)
            refused.append(refusal)
    if refused:
        refused[0].others = tuple(refused[1:])
        raise refused[0]


def one_of(*known: str, later: tuple[str, ...] = ()) -> Reader[str]:
    """A word of a fixed set. `later`: words that only a later version knows."""

    def read(value: Any) -> str:
        text = string(value)
        if text in later:
            raise Refused(f'"{text}" is not in this version of dayfly', " or ".join(f'"{word}"' for word in known))
        if text not in known:
            raise Refused(f'"{text}" is not known', " or ".join(f'"{word}"' for word in known))
        return text

    return read


def duration(least: int, most: int = _LONGEST, *, why: str = "") -> Reader[int]:
    """Seconds between two bounds."""

    def read(value: Any) -> int:
        form = 'a duration like "90s", "45m", "2h30m" or "7d"'
        if isinstance(value, int) and not isinstance(value, bool):
            raise Refused(f"{value} has no unit; {form} is wanted", f'"{value}s"', f'"{value}m"')
        text = string(value)
        try:
            whole = durations.seconds(text)
        except ValueError:
            raise Refused(f'"{text}" is not {form}') from None
        if whole < least:
            raise Refused(f'"{text}" is too short', f'at least "{durations.text(least)}"', why=why)
        if whole > most:
            raise Refused(f'"{text}" is too long', f'at most "{durations.text(most)}"', why=why)
        return whole

    return read


# --- of the project -----------------------------------------------------------------------------------------------------


def project_name(value: Any) -> str:
    text = string(value)
    if not names.PROJECT_NAME.fullmatch(text):
        ready = re.sub(r"[^a-z0-9]+", "-", text.lower())[:24].strip("-")
        fit = (f'"{ready}"',) if names.PROJECT_NAME.fullmatch(ready) else ()
        why = "it names a bucket and a stack"
        raise Refused(f'"{text}" is not 2 to 24 of a-z 0-9 -, without - at the ends', *fit, why=why)
    return text


def account(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        raise Refused("an account is a string: its zeros at the front count", f'"{value:012d}"')
    text = string(value)
    if not re.fullmatch(r"[0-9]{12}", text):
        raise Refused(f'"{text}" is not the 12 digits of an AWS account', "aws sts get-caller-identity shows yours")
    return text


def region(value: Any) -> str:
    text = string(value)
    if not _REGION.fullmatch(text):
        zone = re.fullmatch(r"(.*[0-9])[a-z]", text)
        fit = (f'"{zone[1]}"',) if zone and _REGION.fullmatch(zone[1]) else ()
        raise Refused(f'"{text}" is no AWS region like "eu-west-1"', *fit)
    return text


def regions(value: Any) -> tuple[str, ...]:
    found = some(value, region)
    if len(found) > 1:
        raise Refused("more than one region is not in this version of dayfly", f'["{found[0]}"]')
    return found


def boundary(value: Any) -> str:
    text = string(value)
    if not _BOUNDARY.fullmatch(text):
        raise Refused(f'"{text}" is not the ARN of an IAM policy', '"arn:aws:iam::123456789012:policy/NAME"')
    return text


def boundary_account(arn: str) -> str:
    """Whose policy it is: 12 digits, or `aws`."""
    found = _BOUNDARY.fullmatch(arn)
    return found[1] if found else ""


def tags(value: Any) -> dict[str, str]:
    found: dict[str, str] = {}

    def take(pair: tuple[str, Any]) -> None:
        key, text = pair
        if key.lower().startswith(("aws:", "dayfly:")):
            raise Refused(f'"{key}": tags of {key.split(":")[0]}: are not yours to set', "another name")
        if not _TAG_KEY.fullmatch(key) or key in (".", ".."):
            why = "a server reads its tags from its metadata, and IAM has them too: no spaces, no / and no comma"
            raise Refused(f'"{key}" is not 1 to 128 letters, digits and + - = . _ : @', why=why)
        if key.lower() in (other.lower() for other in found):
            raise Refused(f'"{key}" is there twice', "remove one of the two", why="IAM hears no capitals")
        found[key] = _tag_value(text)

    each(((key, (key, text)) for key, text in table(value).items()), take)
    if len(found) > _TAGS:
        raise Refused(f"{len(found)} tags; at most {_TAGS}", why="AWS takes 50 on a resource, dayfly's own among them")
    return found


def _tag_value(value: Any) -> str:
    text = string(value)
    if not _TAG_VALUE.fullmatch(text):
        raise Refused(f'"{text}" is not up to 256 letters, digits, spaces and . : / = + - @ _')
    return text


def subnet(value: Any) -> str:
    return _resource(value, "subnet")


def security_group(value: Any) -> str:
    return _resource(value, "sg")


def _resource(value: Any, prefix: str) -> str:
    text = string(value)
    if not re.fullmatch(prefix + r"-[0-9a-f]{8,17}", text):
        raise Refused(f'"{text}" is not an id like "{prefix}-0a1b2c3d4e5f67890"')
    return text


# --- of a job -----------------------------------------------------------------------------------------------------------


def command(value: Any) -> str | tuple[str, ...]:
    if not isinstance(value, list):
        return filled(value)
    parts: list[str] = []
    each(enumerate(value), lambda part: parts.append(string(part)))
    if not parts or not parts[0].strip():
        raise Refused("has no program to run", '["python", "main.py"]')
    return tuple(parts)


def schedule(value: Any) -> tuple[str, ...]:
    """The expressions as written; what they say is read where the zone is known."""
    return (filled(value),) if isinstance(value, str) else strings(value)


def zone_name(value: Any) -> str:
    text = string(value)
    if not _ZONE.fullmatch(text) or len(text) > 50:
        better = "/".join(part.strip().title().replace(" ", "_") for part in text.split("/"))
        fit = (f'"{better}"',) if _ZONE.fullmatch(better) else ()
        raise Refused(f'"{text}" is no time zone', *fit, ZONE_FORM)
    return text


def server_type(value: Any) -> str:
    text = string(value)
    try:
        linux = instance_types.runs_linux(text)
    except ValueError:
        raise Refused(f'"{text}" is no EC2 type', 'a name like "c8g.large"') from None
    if not linux:
        raise Refused(
            f'"{text}" runs macOS only', why="an Apple server is rented for 24 hours at least; it is not for one run"
        )
    return text


def disk(value: Any) -> int:
    """GB."""
    found = re.fullmatch(r"([0-9]{1,5})\s*(GB|TB)", string(value))
    if not found:
        raise Refused(f'"{value}" is not a size like "50GB"')
    size = int(found[1]) * (1000 if found[2] == "TB" else 1)
    if not 8 <= size <= 16_000:
        raise Refused(f'"{value}" is not 8GB to 16TB')
    return size


def image(value: Any) -> str:
    text = string(value)
    if text in _LATER_IMAGES:
        raise Refused(f'"{text}" is not in this version of dayfly', '"debian-13", or an image of yours by its ami-...')
    if text != "debian-13" and not re.fullmatch(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?", text):
        raise Refused(f'"{text}" is no image', '"debian-13"', 'an id like "ami-0a1b2c3d4e5f67890"')
    return text


def path(value: Any) -> str:
    """Relative, with / between its parts, and never out of the folder it starts in."""
    text = filled(value)
    if text.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", text):
        raise Refused(f'"{text}" is not relative', why="paths start in the job's folder")
    if ".." in text.replace("\\", "/").split("/"):
        raise Refused(f'"{text}" leads out of the folder', why="paths stay in the job's folder")
    return text


def output(value: Any) -> str:
    text = path(value)
    if text.endswith("/") or text == ".":
        inner = "**" if text == "." else text + "**"
        raise Refused(f'"{text}" is a folder; outputs are files', f'"{inner}"')
    return text


def python(value: Any) -> str:
    text = path(value)
    if text not in ("auto", "none") and not text.endswith((".lock", ".toml", ".txt")):
        raise Refused(f'"{text}" is no list of dependencies', '"auto", "none", or a file like "requirements.txt"')
    return text


def variables(value: Any) -> dict[str, str]:
    found: dict[str, str] = {}

    def take(pair: tuple[str, Any]) -> None:
        name, text = pair
        if not _VARIABLE.fullmatch(name):
            raise Refused(f'"{name}" is no name of a variable', why="letters, digits and _, no digit first")
        if _RESERVED.fullmatch(name):
            raise Refused(f"{name} is set by dayfly", "another name", why="the server finds its job and rights by it")
        found[name] = string(text)

    each(((name, (name, text)) for name, text in table(value).items()), take)
    return found


# --- words ------------------------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A value as the file has it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a string"
    return "a number" if isinstance(value, int | float) else "a date"
