"""Where a command goes: the local cloud of this folder, or an AWS account and region. Found once, named first on every screen.

What changes anything goes through `for_changes`, which refuses another account, and an endpoint that nobody asked for.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from dayfly.cli import local_cloud, say
from dayfly.cloud import account
from dayfly.cloud.clients import Aws
from dayfly.cloud.context import Emit, Log, emit_nothing
from dayfly.cloud.interpreter import Interpreter
from dayfly.core import names
from dayfly.core.model import Project
from dayfly.errors import FileError
from dayfly.flows.actor import CLI_MAY, Actor
from dayfly.project.deploy.scope import Scope
from dayfly.project.file import config

FILE = "dayfly.toml"


def _no_log(_line: str, _fields: Mapping[str, Any]) -> None:
    """The CLI shows facts, not the log of a walk."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A cloud and a region in it, and who asks. `local` is the local_cloud when it is the local cloud."""

    aws: Aws
    account: str
    who: str
    region: str
    local: local_cloud.LocalCloud | None

    @property
    def title(self) -> str:
        """What the first line of every screen says."""
        if self.local is not None:
            return f"local cloud on this machine; {self.local.what_servers_are}"
        profile = f" (profile {self.aws.profile}, {self.who})" if self.aws.profile else f" ({self.who})"
        return f"AWS {self.account}{profile}, {self.region}"

    def facts(self) -> dict[str, Any]:
        """The target for `--json`."""
        return {"local": self.local is not None, "account": self.account, "region": self.region}

    def bucket(self, project: str) -> str:
        return names.bucket(project, self.account, self.region)

    @property
    def poll_s(self) -> float:
        """Seconds between two looks at this cloud while waiting."""
        return 3.0 if self.local is None else 0.5

    def scope(self, project: str) -> Scope:
        """Where deploy and destroy work."""
        return Scope(project=project, account=self.account, region=self.region, who=self.who, poll_s=self.poll_s)

    def interpreter(self, project: str, *, log: Log = _no_log, emit: Emit = emit_nothing) -> Interpreter:
        """Interpreter for the later steps of a run; they arm nothing, so the kill role is not theirs to know."""
        return Interpreter(
            aws=self.aws,
            project=project,
            bucket=self.bucket(project),
            group=names.stack(project),
            kill_role="",
            dead_letters="",
            log=log,
            emit=emit,
        )

    def actor(self, project: str) -> Actor:
        return Actor(
            project=project,
            bucket=self.bucket(project),
            region=self.region,
            who=f"cli:{self.who}",
            may=CLI_MAY,
            zones=ZoneInfo,
        )


def folder() -> Path:
    """The folder whose `.dayfly` is used: the nearest one up from here that has a dayfly.toml, else this one."""
    here = Path.cwd()
    return next((each for each in (here, *here.parents) if (each / FILE).is_file()), here)


def home() -> Path:
    """The project's own folder: that folder, or the demo's project in it where there is no other."""
    here = folder()
    demo = here / ".dayfly" / "demo"
    return demo if not (here / FILE).is_file() and (demo / FILE).is_file() else here


def project(*, short_margin: bool = False) -> Project:
    """The project of this folder. Raises FileError, with all problems at once."""
    path = home() / FILE
    if not path.is_file():
        raise FileError(f"there is no {FILE} here", hint="dayfly init")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{FILE} can not be read: {error}") from error
    short = short_margin or home() != folder() or os.environ.get("DAYFLY_SHORT_MARGIN") == "1"
    return config.read(text, zones=ZoneInfo, now=datetime.now(UTC), allow_short_margin=short)


def local(cloud: local_cloud.LocalCloud, region: str) -> Target:
    """The local cloud as a target."""
    aws = Aws(region=region, endpoint=cloud.endpoint, keys=cloud.keys)
    return Target(aws=aws, account=cloud.account, who=_user(), region=region, local=cloud)


def find(read: Project, *, use_local: bool) -> Target:
    """The target of a command that only looks.

    A local cloud that does not run is started for this one command: its history is on disk. Raises FileError when there never was one.
    """
    region = read.regions[0]
    if use_local:
        cloud = local_cloud.running(folder())
        if cloud is None:
            if not (folder() / local_cloud.STATE).is_dir():
                raise FileError("there is no local cloud in this folder", hint="dayfly local up")
            cloud = _held(region)
        return local(cloud, region)
    aws = Aws(region=region, profile=os.environ.get("AWS_PROFILE"), endpoint=os.environ.get("AWS_ENDPOINT_URL"))
    caller = account.caller(aws)
    return Target(aws=aws, account=caller.account, who=_role(caller.arn), region=region, local=None)


def for_run(read: Project, *, use_local: bool, wait: bool, guest: str | None) -> Target:
    """The target of `run`: with `--local --wait` a cloud is started if none runs, and ends with this command.

    `guest`: what its servers must be; None: whatever runs, else processes.
    """
    if not use_local:
        if guest is not None:
            raise FileError("--guest is of the local cloud", hint="add --local")
        return for_changes(read, use_local=False)
    cloud = local_cloud.fitting(local_cloud.running(folder()), guest)
    if cloud is None and not wait:
        raise FileError(
            "no local cloud runs in this folder, and without --wait nothing would keep one alive",
            hint="dayfly local up, or add --wait",
        )
    return local(cloud or _held(read.regions[0], guest or local_cloud.PROCESS), read.regions[0])


def _held(region: str, guest: str = local_cloud.PROCESS) -> local_cloud.LocalCloud:
    """A local cloud that ends with this command."""
    held: local_cloud.LocalCloud = click.get_current_context().with_resource(
        local_cloud.Held(folder(), region, guest=guest)
    )
    return held


def for_changes(read: Project, *, use_local: bool) -> Target:
    """The target of a command that changes things. Raises FileError for another account, or an endpoint without `--local`."""
    refuse_stray_endpoint(use_local=use_local)
    target = find(read, use_local=use_local)
    if not use_local:
        refuse_other_account(read, target.account)
    return target


def refuse_other_account(read: Project, account: str) -> None:
    """The file may name the one account that it is for. Raises FileError for any other."""
    if read.account is not None and read.account != account:
        raise FileError(
            f"these credentials are of account {account}; dayfly.toml says {read.account}",
            hint="use the profile of that account, or change `account`",
        )


def refuse_stray_endpoint(*, use_local: bool) -> None:
    """An AWS endpoint in the environment would send changes somewhere else than the screen says."""
    stray = sorted(key for key in os.environ if key.startswith("AWS_ENDPOINT_URL") and os.environ[key])
    if stray and not use_local:
        raise FileError(
            f"{stray[0]} is set, so this would not go to AWS",
            hint=f"unset {stray[0]}, or add --local for the local cloud",
        )


def announce(target: Target, *, as_json: bool) -> None:
    """The first line of every screen. With `--json` it stays a note."""
    line = say.labelled("target", target.title)
    say.note(line) if as_json else say.answer(line)


def _role(arn: str) -> str:
    kind, _, rest = arn.rsplit(":", 1)[-1].partition("/")
    return f"role {rest.split('/')[0]}" if kind == "assumed-role" else f"{kind} {rest}".strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "someone"
