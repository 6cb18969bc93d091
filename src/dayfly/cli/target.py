"""The target of a command: this folder's local cloud, or an AWS account and region. The first line of every screen names it.

A command that changes anything finds its target with `for_changes`. That refuses an account other than the one in dayfly.toml, and an
AWS endpoint in the environment that would send the change elsewhere.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import click

from dayfly.cli import local_cloud, output, workspace
from dayfly.cloud.account import caller
from dayfly.cloud.clients import Aws
from dayfly.cloud.context import Log, ShowBytes, emit_nothing
from dayfly.cloud.interpreter import Interpreter
from dayfly.core import names
from dayfly.core.model import Project
from dayfly.errors import FileError
from dayfly.flows.actor import CLI_STATES, Actor
from dayfly.flows.read import UNREADABLE
from dayfly.project.deploy.scope import Scope


def _no_log(_line: str, _fields: Mapping[str, Any]) -> None:
    """Discard a log line. The CLI shows facts, not the log of a walk."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A cloud, a region in it, and the user who started the command. `local` is set for the local cloud."""

    aws: Aws
    account: str
    who: str
    region: str
    local: local_cloud.LocalCloud | None
    noted: set[str] = field(default_factory=set)
    """The keys of unreadable objects that this command has told the user about."""

    @property
    def is_local(self) -> bool:
        """Whether it is the local cloud."""
        return isinstance(self.local, local_cloud.LocalCloud)

    @property
    def title(self) -> str:
        """Text of the first line of every screen."""
        match self.local:
            case local_cloud.LocalCloud(guest_description=servers):
                return f"local cloud on this machine; {servers}"
        if self.aws.profile:
            return f"AWS {self.account} (profile {self.aws.profile}, {self.who}), {self.region}"
        return f"AWS {self.account} ({self.who}), {self.region}"

    def facts(self) -> dict[str, Any]:
        """Return the target for the document of `--json`."""
        return {"local": self.is_local, "account": self.account, "region": self.region}

    def bucket(self, project: str) -> str:
        """Return the name of the project's bucket on this target."""
        return names.bucket(project, self.account, self.region)

    @property
    def poll_s(self) -> float:
        """Seconds between two requests to this cloud while waiting."""
        return 0.5 if self.is_local else 3.0

    def scope(self, project: str) -> Scope:
        """Return what deploy and destroy work on."""
        return Scope(project=project, account=self.account, region=self.region, who=self.who, poll_s=self.poll_s)

    def interpreter(self, project: str, *, log: Log = _no_log, emit: ShowBytes = emit_nothing) -> Interpreter:
        """Return an interpreter for the CLI. The CLI creates no kill schedules, so it gets no role and no queue for them."""
        return Interpreter(
            aws=self.aws,
            project=project,
            bucket=self.bucket(project),
            group=names.stack(project),
            kill_role="",
            dead_letters="",
            log=self._noting_unreadable(project, log),
            emit=emit,
        )

    def _noting_unreadable(self, project: str, log: Log) -> Log:
        """Return a log that tells the user once about each object that cannot be read, and passes on all other lines."""

        def noting(line: str, fields: Mapping[str, Any]) -> None:
            key = fields.get(UNREADABLE)
            if key is None:
                log(line, fields)
            elif key not in self.noted:
                self.noted.add(key)
                output.note(output.labelled("note", line))
                if len(self.noted) == 1:
                    look = f"aws s3 cp 's3://{self.bucket(project)}/{key}' -"
                    output.note(
                        output.labelled("do", f"look at it: {look}   docs/records.md says what dayfly does", indent=9)
                    )

        return noting

    def actor(self, project: str) -> Actor:
        """Return the CLI as an actor, which takes steps of a run."""
        return Actor(
            project=project,
            bucket=self.bucket(project),
            region=self.region,
            who=f"cli:{self.who}",
            acts_in=CLI_STATES,
            zones=ZoneInfo,
        )


def local(cloud: local_cloud.LocalCloud, region: str) -> Target:
    """Return the local cloud as a target."""
    aws = Aws(region=region, endpoint=cloud.endpoint, keys=cloud.keys)
    return Target(aws=aws, account=cloud.account, who=_user(), region=region, local=cloud)


def find(project: Project, *, use_local: bool) -> Target:
    """Return the target of a command that changes nothing.

    If the local cloud is not running, it is started for this one command, because its history is on disk. Raises FileError if this
    folder never had one, RightsError without credentials.
    """
    region = project.regions[0]
    if not use_local:
        return _aws(region)
    match local_cloud.running(workspace.folder()):
        case local_cloud.LocalCloud() as cloud:
            return local(cloud, region)
    if not (workspace.folder() / local_cloud.STATE).is_dir():
        raise FileError("this folder has no local cloud", hint="dayfly local up")
    return local(_started_for_this_command(region), region)


def _aws(region: str) -> Target:
    aws = Aws(region=region, profile=os.environ.get("AWS_PROFILE"), endpoint=os.environ.get("AWS_ENDPOINT_URL"))
    identity = caller(aws)
    return Target(aws=aws, account=identity.account, who=_role(identity.arn), region=region, local=None)


def for_run(project: Project, *, use_local: bool, wait: bool, guest: str | None) -> Target:
    """Return the target of `run`. With `--local --wait` a local cloud is started if none runs; it ends with this command.

    `guest` is the required kind of local server; None accepts the kind that is running, otherwise processes.
    """
    if not use_local:
        if guest:
            raise FileError("--guest only applies with --local", hint="add --local")
        return for_changes(project, use_local=False)
    region = project.regions[0]
    match local_cloud.running(workspace.folder()):
        case local_cloud.LocalCloud() as cloud:
            local_cloud.require_guest(cloud, guest)
            return local(cloud, region)
    if not wait:
        raise FileError(
            "no local cloud is running in this folder, and without --wait it would end before the run",
            hint="dayfly local up, or add --wait",
        )
    return local(_started_for_this_command(region, guest or local_cloud.PROCESS), region)


def _started_for_this_command(region: str, guest: str = local_cloud.PROCESS) -> local_cloud.LocalCloud:
    """Start a local cloud that ends with this command."""
    temporary = local_cloud.TemporaryCloud(workspace.folder(), region, guest=guest)
    cloud: local_cloud.LocalCloud = click.get_current_context().with_resource(temporary)
    return cloud


def for_changes(project: Project, *, use_local: bool) -> Target:
    """Return the target of a command that changes something. Raises FileError for the wrong account or an unexpected endpoint."""
    refuse_stray_endpoint(use_local=use_local)
    target = find(project, use_local=use_local)
    if not use_local:
        refuse_other_account(project, target.account)
    return target


def refuse_other_account(project: Project, account: str) -> None:
    """Raise FileError if dayfly.toml names an account and it is not this one."""
    if project.account is not None and project.account != account:
        raise FileError(
            f"these credentials belong to account {account}, but dayfly.toml says {project.account}",
            hint="use a profile of that account, or change `account`",
        )


def refuse_stray_endpoint(*, use_local: bool) -> None:
    """Raise FileError if an endpoint in the environment would send changes to another place than the screen says."""
    stray = sorted(key for key in os.environ if key.startswith("AWS_ENDPOINT_URL") and os.environ[key])
    if stray and not use_local:
        raise FileError(
            f"{stray[0]} is set, so this command would not reach AWS",
            hint=f"unset {stray[0]}, or add --local to use the local cloud",
        )


def announce(target: Target, *, as_json: bool) -> None:
    """Print the first line of a screen; with `--json` to stderr."""
    output.status(output.labelled("target", target.title), as_json=as_json)


def _role(arn: str) -> str:
    kind, _, rest = arn.rsplit(":", 1)[-1].partition("/")
    if kind == "assumed-role":
        return f"role {rest.split('/')[0]}"
    return f"{kind} {rest}".strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"
