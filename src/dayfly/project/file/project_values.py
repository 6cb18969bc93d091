"""Validate and convert the values of the project's own keys. values.py has the forms that keys share."""

from __future__ import annotations

import re
from typing import Any

from dayfly.core import names
from dayfly.project.file import values

_TAG_KEY = re.compile(r"[A-Za-z0-9+=._:@-]{1,128}")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")
_TAGS = 40  # AWS allows 50 on a resource; dayfly and AWS itself use the others
_RECEIVERS, _RECEIVER_LENGTH = 10, 250
"""Together they fit into the environment of the sweeper: 4 KB."""
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}")
_URL = re.compile(r"https://[A-Za-z0-9.-]{1,200}(?::[0-9]{1,5})?(?:[/?][!-~]*)?")
_OWN_MACHINE = re.compile(r"http://(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?(?:[/?][!-~]*)?")
"""For a receiver beside the local cloud."""
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,10}){1,2}-[0-9]{1,2}")
_OTHER_PARTITIONS = ("cn-", "us-gov-", "us-iso", "eu-iso", "eusc-")
"""How the names of the regions begin that are not in AWS's standard partition: China, GovCloud, the isolated and the sovereign ones."""
_BOUNDARY = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]{1,512}", re.ASCII)


def project_name(value: Any) -> str:
    text = values.string(value)
    if not names.PROJECT_NAME.fullmatch(text):
        why = "a bucket and a stack are named after it"
        message = f'"{text}" is not 2 to 24 of a-z 0-9 -, without - at the ends'
        raise values.Invalid(message, *values.offer(project_name_from(text), names.PROJECT_NAME), why=why)
    return text


def project_name_from(text: str) -> str:
    """Return a valid name as similar to `text` as possible: `Lake of data!` -> `lake-of-data`. Empty if there is none."""
    close = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24].strip("-")
    return close if names.PROJECT_NAME.fullmatch(close) else ""


def account(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        raise values.Invalid("expected a string, because leading zeros count", f'"{value:012d}"')
    text = values.string(value)
    if not re.fullmatch(r"[0-9]{12}", text):
        raise values.Invalid(
            f'"{text}" is not the 12 digits of an AWS account', "aws sts get-caller-identity shows yours"
        )
    return text


def region(value: Any) -> str:
    text = values.string(value)
    if not _REGION.fullmatch(text):
        region_of_zone = re.sub(r"(?<=[0-9])[a-z]$", "", text)
        raise values.Invalid(f'"{text}" is not an AWS region like "eu-west-1"', *values.offer(region_of_zone, _REGION))
    if text.startswith(_OTHER_PARTITIONS):
        why = "China, GovCloud and the sovereign clouds have other ARNs and services, and dayfly knows none of them"
        raise values.Invalid(f"{text} is not in AWS's standard partition", '"eu-west-1"', why=why)
    return text


def regions(value: Any) -> tuple[str, ...]:
    found = values.at_least_one(value, region)
    if len(found) > 1:
        raise values.Invalid("a project has exactly one region", f'["{found[0]}"]')
    return found


def boundary(value: Any) -> str:
    text = values.string(value)
    if not _BOUNDARY.fullmatch(text):
        raise values.Invalid(f'"{text}" is not the ARN of an IAM policy', '"arn:aws:iam::123456789012:policy/NAME"')
    if not text.startswith("arn:aws:"):
        raise values.Invalid(f'"{text}" is not in AWS\'s standard partition', '"arn:aws:iam::123456789012:policy/NAME"')
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
            raise values.Invalid(f'"{key}": the prefix {key.split(":")[0].lower()}: is reserved', "another name")
        if not _TAG_KEY.fullmatch(key) or key in (".", ".."):
            why = "instance metadata and IAM do not allow spaces, / and commas in it"
            raise values.Invalid(f'"{key}" is not 1 to 128 letters, digits and + - = . _ : @', why=why)
        if key.lower() in (other.lower() for other in found):
            raise values.Invalid(f'"{key}" is given twice', "remove one of the two", why="IAM ignores case in tag keys")
        found[key] = _tag_value(text)

    values.read_each(((key, (key, text)) for key, text in values.table(value).items()), take)
    if len(found) > _TAGS:
        raise values.Invalid(
            f"{len(found)} tags; at most {_TAGS}", why="AWS allows 50 on a resource, including those that dayfly sets"
        )
    return found


def _tag_value(value: Any) -> str:
    text = values.string(value)
    if not _TAG_VALUE.fullmatch(text):
        raise values.Invalid(f'"{text}" is not up to 256 letters, digits, spaces and . : / = + - @ _')
    return text


def notify(value: Any) -> tuple[str, ...]:
    """Return who is told: e-mail addresses and URLs."""
    found = values.strings(value, _receiver)
    if len(found) > _RECEIVERS:
        raise values.Invalid(f"{len(found)} addresses; at most {_RECEIVERS}", "a mailing list")
    return found


def _receiver(value: Any) -> str:
    text = values.filled(value)
    if len(text) > _RECEIVER_LENGTH:
        raise values.Invalid(f"an address has at most {_RECEIVER_LENGTH} characters")
    if _MAIL.fullmatch(text) or _URL.fullmatch(text) or _OWN_MACHINE.fullmatch(text):
        return text
    if text.startswith("http://"):
        remedy = f'"https://{text.removeprefix("http://")}"'
        raise values.Invalid(f'"{text}" is not https', remedy, why="others could read and change the message")
    raise values.Invalid(
        f'"{text}" is neither an e-mail address nor an https URL', '"you@acme.example"', '"https://hooks.example/x"'
    )


def subnet(value: Any) -> str:
    return _resource(value, "subnet")


def security_group(value: Any) -> str:
    return _resource(value, "sg")


def _resource(value: Any, prefix: str) -> str:
    text = values.string(value)
    if not re.fullmatch(prefix + r"-[0-9a-f]{8,17}", text):
        raise values.Invalid(f'"{text}" is not an id like "{prefix}-0a1b2c3d4e5f67890"')
    return text
