"""`dayfly init`: writes a dayfly.toml with a job that succeeds anywhere, never over one that is there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from dayfly.cli import output, workspace
from dayfly.cli.options import json_option
from dayfly.cloud import account
from dayfly.core import names
from dayfly.errors import FileError
from dayfly.project.file import config
from dayfly.project.screens import formatting

REGION = "eu-west-1"
_IGNORED = ".dayfly/"

_FILE = """# dayfly.toml: jobs on servers that live for one run. All keys: dayfly check --keys

project = "{project}"
{account}regions = ["{region}"]

[jobs.hello]
command    = "mkdir -p out && {{ date -u; uname -sm; }} | tee out/hello.txt"
servers    = ["t4g.small"]       # one server per run, of whichever type of this list has capacity
# schedule = "0 7 * * MON-FRI"   # as it stands: by hand only
# timezone = "Europe/Berlin"     # the clock of the schedule; without it UTC
time_limit = "5m"                # of the command, from its start
outputs    = ["out/hello.txt"]   # each must be there at the end, and is stored
bundle     = ["."]               # what the server gets of this folder; .gitignore holds
python     = "none"              # "auto" brings the folder's dependencies (uv.lock, requirements.txt, pyproject.toml)
"""


@click.command("init")
@click.option("--name", "project", metavar="PROJECT", help="2-24 of a-z 0-9 - (default: the folder's name)")
@json_option
def init_command(project: str | None, as_json: bool) -> int:
    """Write dayfly.toml with the job `hello`."""
    folder = Path.cwd()
    path = folder / workspace.FILE
    name = project if project is not None else _name_of(folder)
    if not names.PROJECT_NAME.fullmatch(name) or len(name) < 2:
        raise FileError(f"{name!r} can not be the name of a project: 2 to 24 of a-z 0-9 -, without - at the ends")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION
    if path.exists():
        raise FileError(f"{workspace.FILE} is there already; nothing was changed", hint="dayfly check")
    own = account.of_credentials(region, os.environ)
    text = _text(name, region, own)
    _write_new(path, text)
    ignored = _ignore(folder)
    if as_json:
        written = [workspace.FILE, *([".gitignore"] if ignored else [])]
        output.document({"written": written, "project": name, "region": region, "account": own})
        return 0
    said = (
        f"account {own}" if own else "no account yet: add `account` before the first deploy, so that no other is used"
    )
    output.line(output.labelled("wrote", f"{workspace.FILE}: project {name}, region {region}; {said}"))
    if ignored:
        output.line(output.labelled("wrote", f".gitignore: {_IGNORED}"))
    output.line(output.labelled("next", f"dayfly check      {formatting.dayfly('run', 'hello', '--wait', local=True)}"))
    return 0


def _text(name: str, region: str, own: str | None) -> str:
    """The file, read once before anybody else must. Raises Problems, for a region of the environment that is none."""
    line = (
        f'account = "{own}"\n' if own else '# account = "123456789012"     # deploy, run and destroy refuse any other\n'
    )
    text = _FILE.format(project=name, region=region, account=line)
    config.read(text, zones=ZoneInfo)
    return text


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise FileError(f"{workspace.FILE} is there already; nothing was changed", hint="dayfly check") from None
    except OSError as error:
        raise FileError(f"{path} can not be written: {error.strerror}") from error


def _name_of(folder: Path) -> str:
    """A project's name out of the folder's; `jobs` where nothing of it can stay."""
    plain = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:24].strip("-")
    return plain if len(plain) > 1 else "jobs"


def _ignore(folder: Path) -> bool:
    """Adds .dayfly/ to .gitignore where git is used and does not ignore it yet; whether it did."""
    if not any((each / ".git").exists() for each in (folder, *folder.parents)):
        return False
    path = folder / ".gitignore"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if any(line.strip().strip("/") == ".dayfly" for line in text.splitlines()):
        return False
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{'' if not text or text.endswith(chr(10)) else chr(10)}{_IGNORED}\n")
    return True
