"""Read the keys that give a job permissions: `reads`, `writes` and `secrets`. The file of `policy` is read in policy_file.py.

What a role gets for them is in core/permissions.py.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from dayfly.core import names, permission_sets, permissions, publication, texts
from dayfly.core.model import Job
from dayfly.project.file import values
from dayfly.project.file.reading import Reading, Tables

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"(?!/)[!#%-)+->@-~ ]{0,900}(?<!/)/?")
"""Printable ASCII without what has a meaning in a policy: `*`, `?`, `$`, and without quotes."""
_DAYFLY_BUCKET = re.compile(rf"dayfly-{names.PROJECT_NAME.pattern}-[0-9]{{12}}-[a-z0-9-]+")
_PARAMETER = re.compile(r"/?[A-Za-z0-9_.-]{1,128}(?:/[A-Za-z0-9_.-]{1,128}){0,14}")
_SECRET = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}(?:#[^#\s]{1,256})?")
_PLACE_FORM = '"s3://BUCKET/PREFIX/"'
_JOB_FORM = '"job:NAME" for the last good result of a job'
_SECRET_FORMS = (
    '"ssm:/PATH" for a parameter of SSM',
    '"secretsmanager:NAME" or "secretsmanager:NAME#KEY" for a secret',
)
_MOST_POLICY = 10_240
"""IAM's limit for all policies in a role, in characters without white space."""


def read_place(value: Any) -> str:
    """Return an element of `reads`."""
    text = values.filled(value)
    if not text.startswith(permission_sets.JOB):
        return _place(text, 'reads = ["job:NAME"] names a result of this project', _PLACE_FORM, _JOB_FORM)
    name = text.removeprefix(permission_sets.JOB)
    if not names.JOB_NAME.fullmatch(name):
        raise values.Invalid(f'"{text}" names no job', '"job:NAME"')
    return text


def results_place(value: Any) -> str:
    """Return the value of `results`: a prefix of another bucket, or the project's own."""
    text = values.filled(value)
    if text == publication.OWN:
        return text
    return _place(text, 'results = "project"', _PLACE_FORM, f'"{publication.OWN}"')


def write_place(value: Any) -> str:
    """Return an element of `writes`."""
    return _place(values.filled(value), "outputs = [...] stores files in it", _PLACE_FORM)


def _place(text: str, remedy: str, *forms: str) -> str:
    """Return a place in S3. `remedy`: what to use for the project's own bucket."""
    bucket, _, prefix = text.removeprefix(permission_sets.S3).partition("/")
    if not text.startswith(permission_sets.S3) or not _BUCKET.fullmatch(bucket):
        raise values.Invalid(f'"{text}" is not a place in S3', *forms)
    if not _PREFIX.fullmatch(prefix) or "//" in prefix:
        why = "the key begins with it as it is: it is no pattern"
        raise values.Invalid(f'"{text}" has a prefix with *, ?, $, quotes, // or a character beyond ASCII', why=why)
    if _DAYFLY_BUCKET.fullmatch(bucket):
        why = "a job that reaches it could change the records of other runs"
        raise values.Invalid(f"{bucket} is the bucket of a dayfly project", remedy, why=why)
    return text


def secrets(value: Any) -> dict[str, str]:
    """Return where each secret is stored, by the name of its variable."""
    found: dict[str, str] = {}

    def take(pair: tuple[str, Any]) -> None:
        name, source = pair
        fault = texts.variable_fault(name)
        if fault:
            raise values.Invalid(f'"{name}" {fault}', "another name")
        found[name] = _source(source)

    values.read_each(((name, (name, source)) for name, source in values.table(value).items()), take)
    return found


def _source(value: Any) -> str:
    text = values.filled(value)
    for prefix, form in ((permission_sets.SSM, _PARAMETER), (permission_sets.SECRETS_MANAGER, _SECRET)):
        if text.startswith(prefix) and form.fullmatch(text.removeprefix(prefix)):
            return text
    # The value itself may be a secret that was put here by mistake, so it is not repeated.
    raise values.Invalid("does not say where the secret is stored", *_SECRET_FORMS)


def merged_secrets(tables: Tables) -> dict[str, str]:
    """Return `secrets` of all tables merged; a job's own win over those of [defaults]."""
    found: dict[str, str] = {}
    none: dict[str, str] = {}
    for path, table in reversed(tables.tables):
        if "secrets" in table:
            found |= tables.reading.value((*path, "secrets"), table["secrets"], secrets, none)
    return found


def check_rights(reading: Reading, tables: Tables, job: Job, jobs: Collection[str]) -> None:
    """Note what is wrong with the permissions of a job beyond single values. `jobs`: the names of all jobs of the file."""
    for number, element in enumerate(job.reads):
        name = element.removeprefix(permission_sets.JOB)
        if element.startswith(permission_sets.JOB) and name not in jobs:
            close = difflib.get_close_matches(name, jobs, n=1, cutoff=0.4)
            remedies = [f'did you mean "{permission_sets.JOB}{each}"?' for each in close]
            reading.note((*tables.place("reads"), number), f"there is no job {name}", *remedies)
    for name in sorted(set(job.secrets) & set(job.env)):
        why = "the command gets one value for each name"
        reading.note((*_place_of(tables, "secrets", name), name), f"{name} also stands in env", "another name", why=why)
    own = permissions.characters(permissions.job(permission_sets.set_of(job)))
    if own > _MOST_POLICY:
        message = f"{len(job.reads)} reads and {len(job.writes)} writes are more than IAM takes in a role"
        reading.note(tables.place("reads"), message, "a prefix that several of them begin with")
    elif own + permissions.characters(job.policy or {}) > _MOST_POLICY:
        message = (
            f"the policy, with reads and writes, has more than the {_MOST_POLICY:,} characters that IAM takes in a role"
        )
        reading.note(tables.place("policy"), message, "wildcards in place of lists")


def check_sets(reading: Reading, jobs: Mapping[str, Job]) -> None:
    """Note that the jobs of a file have too many different permissions."""
    count = len({permission_sets.set_of(job).id for job in jobs.values()})
    if count > permission_sets.MOST_SETS:
        message = f"the jobs have {count} different sets of reads, writes, secrets and policy; at most {permission_sets.MOST_SETS}"
        reading.note(
            ("jobs",), message, "put what several jobs need into [defaults]", why="each set has roles of its own"
        )


def _place_of(tables: Tables, key: str, name: str) -> tuple[str | int, ...]:
    """Return the path of the table `key` that has this name."""
    for path, table in tables.tables:
        inner = table.get(key)
        if isinstance(inner, Mapping) and name in inner:
            return (*path, key)
    return tables.place(key)
