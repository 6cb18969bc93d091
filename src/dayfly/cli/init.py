"""`dayfly init`: write a dayfly.toml with one job that runs in any project. An existing file is never overwritten."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from dayfly.cli import output, workspace
from dayfly.cli.options import json_option
from dayfly.core import names
from dayfly.errors import FileError
from dayfly.project import formatting
from dayfly.project.file import config, project_values

REGION = "eu-west-1"
_IGNORED = ".dayfly/"
_DEFAULT_NAME = "jobs"

_FILE = """#:schema {schema}
# dayfly.toml: jobs on servers that live for one run. All keys: dayfly check --keys

project = "{project}"
{account}
regions = ["{region}"]

[jobs.hello]
command    = "mkdir -p out && {{ date -u; uname -sm; }} | tee out/hello.txt"
servers    = ["t4g.small"]       # one server per run, of whichever type in this list has capacity
# schedule = "0 7 * * MON-FRI"   # without a schedule the job only runs by hand
# timezone = "Europe/Berlin"     # time zone of the schedule; the default is UTC
time_limit = "5m"                # of the command, from its start
outputs    = ["out/hello.txt"]   # stored as the result; if one is missing at the end, the run fails
bundle     = ["."]               # what the server gets of this folder, without what .gitignore excludes
python     = "none"              # "auto" adds the folder's dependencies (uv.lock, requirements.txt, pyproject.toml)
"""


@click.command("init")
@click.option("--name", "project", metavar="PROJECT", help="2-24 of a-z 0-9 - (default: the folder's name)")
@json_option
def init_command(project: str | None, as_json: bool) -> int:
    """Write a dayfly.toml with the job `hello`."""
    folder = Path.cwd()
    name = project if project is not None else _name_of(folder)
    if not names.PROJECT_NAME.fullmatch(name):
        raise FileError(f"{name!r} cannot be the name of a project: 2 to 24 of a-z 0-9 -, without - at the ends")
    if (folder / workspace.FILE).exists():
        raise _exists()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION
    account = _account(region)
    _write_new(folder / workspace.FILE, _text(name, region, account))
    workspace.write_schema(folder)
    written = [workspace.FILE]
    if _ignore(folder):
        written.append(".gitignore")
    if as_json:
        output.document({"written": written, "project": name, "region": region, "account": account})
        return 0
    output.line(
        output.labelled("wrote", f"{workspace.FILE}: project {name}, region {region}; {_account_words(account)}")
    )
    if ".gitignore" in written:
        output.line(output.labelled("wrote", f".gitignore: {_IGNORED}"))
    output.line(output.labelled("next", f"dayfly check      {formatting.dayfly('run', 'hello', '--wait', local=True)}"))
    return 0


def _account(region: str) -> str | None:
    """Return the account of the credentials in this environment; None if there are none."""
    from dayfly.cloud import account  # loads botocore, which a refused `init` does not need

    return account.of_credentials(region, os.environ)


def _account_words(account: str | None) -> str:
    if account:
        return f"account {account}"
    return "no account yet: add `account` before the first deploy, so that no other account is used"


def _text(name: str, region: str, account: str | None) -> str:
    """Return the text of the file, already validated. Raises Problems if the environment names an invalid region."""
    line = '# account = "123456789012"     # deploy, run and destroy refuse any other'
    if account:
        line = f'account = "{account}"'
    text = _FILE.format(schema=workspace.SCHEMA, project=name, region=region, account=line)
    config.read(text, zones=ZoneInfo)
    return text


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _exists() from None
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}") from error


def _exists() -> FileError:
    return FileError(f"{workspace.FILE} already exists; nothing was changed", hint="dayfly check")


def _name_of(folder: Path) -> str:
    """Return a project name made from the folder's name."""
    return project_values.project_name_from(folder.name) or _DEFAULT_NAME


def _ignore(folder: Path) -> bool:
    """Add .dayfly/ to .gitignore, if the folder is in a repository that does not ignore it. Returns whether it was added."""
    if not any((each / ".git").exists() for each in (folder, *folder.parents)):
        return False
    path = folder / ".gitignore"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if any(line.strip().strip("/") == ".dayfly" for line in text.splitlines()):
        return False
    separator = "\n" if text and not text.endswith("\n") else ""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{separator}{_IGNORED}\n")
    return True
