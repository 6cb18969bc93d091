"""Validate and convert the values of a job's own keys. values.py has the forms that keys share."""

from __future__ import annotations

import re
from typing import Any

from dayfly.core import texts
from dayfly.project.file import catalogue, instance_types, values

_ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Z0-9][A-Za-z0-9_+-]*)*")
ZONE_FORM = 'an IANA name like "Europe/Berlin", or "UTC"'


def command(value: Any) -> str | tuple[str, ...]:
    if not isinstance(value, list):
        return values.filled(value)
    parts: list[str] = []
    values.read_each(enumerate(value), lambda part: parts.append(values.string(part)))
    if not parts or not parts[0].strip():
        raise values.Invalid("names no program", '["python", "main.py"]')
    return tuple(parts)


def schedule(value: Any) -> tuple[str, ...]:
    """Return the expressions as written. They are parsed in job_table.py, where the time zone is known."""
    if isinstance(value, str):
        return (values.filled(value),)
    return values.strings(value)


def zone_name(value: Any) -> str:
    text = values.string(value)
    if not _ZONE.fullmatch(text) or len(text) > 50:
        close = "/".join(part.strip().title().replace(" ", "_") for part in text.split("/"))
        raise values.Invalid(f'"{text}" is not a time zone', *values.offer(close, _ZONE), ZONE_FORM)
    return text


def server_type(value: Any) -> str:
    text = values.string(value)
    try:
        linux = instance_types.runs_linux(text)
    except ValueError:
        near = catalogue.nearest(text.lower(), catalogue.types()) or ("c8g.large",)
        raise values.Invalid(f'"{text}" is not an EC2 type', *map(values.shown, near)) from None
    if not linux:
        raise values.Invalid(
            f'"{text}" only runs macOS', why="an Apple server is rented for at least 24 hours, not for one run"
        )
    if text not in catalogue.types() and not catalogue.may_be_newer(text):
        raise values.Invalid(
            f'"{text}" is not an EC2 type', *map(values.shown, catalogue.nearest(text, catalogue.types()))
        )
    return text


def image(value: Any) -> str:
    text = values.string(value)
    if text != "debian-13" and not re.fullmatch(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?", text):
        raise values.Invalid(
            f'"{text}" is not an image', '"debian-13"', 'your own image by its id, like "ami-0a1b2c3d4e5f67890"'
        )
    return text


def path(value: Any) -> str:
    """Return a relative path that stays in the job's folder."""
    text = values.filled(value)
    fault = texts.word_fault(text)
    if fault:
        raise values.Invalid(f"a path {fault}")
    if text.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", text):
        raise values.Invalid(f'"{text}" is not relative', why="paths are relative to the job's folder")
    if ".." in text.replace("\\", "/").split("/"):
        raise values.Invalid(f'"{text}" leaves the folder', why="a path stays inside the job's folder")
    return text


def output(value: Any) -> str:
    text = path(value)
    if text.endswith("/") or text == ".":
        everything = text.removesuffix(".") + "**"
        raise values.Invalid(f'"{text}" is a folder; outputs are files', f'"{everything}"')
    return text


def python(value: Any) -> str:
    text = path(value)
    if text not in ("auto", "none") and not text.endswith((".lock", ".toml", ".txt")):
        raise values.Invalid(
            f'"{text}" is not a file that lists dependencies', '"auto", "none", or a file like "requirements.txt"'
        )
    return text


def variables(value: Any) -> dict[str, str]:
    found: dict[str, str] = {}

    def take(pair: tuple[str, Any]) -> None:
        name, text = pair
        fault = texts.variable_fault(name)
        if fault:
            raise values.Invalid(f'"{name}" {fault}', "another name")
        found[name] = values.string(text)

    values.read_each(((name, (name, text)) for name, text in values.table(value).items()), take)
    fault = texts.variables_fault(found)
    if fault:
        raise values.Invalid(fault, "put large values in a file of the bundle")
    return found
