"""Deploy and destroy on the model account, in the steps of the commands: look, plan, apply; and destroy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dayfly.core import names
from dayfly.core.model import Project, Version
from dayfly.core.versions import read_version
from dayfly.errors import DayflyError, Unclear
from dayfly.flows.calls import Flow, Now, ask
from dayfly.project.bundle.job_bundle import Bundle
from dayfly.project.deploy import deploy as deploying
from dayfly.project.deploy.destroy import Destroyed, destroy
from dayfly.project.deploy.packages import Packages
from dayfly.project.deploy.scope import Scope
from dayfly.project.file import config
from model.account import ACCOUNT, ModelAccount
from model.cloud import PROJECT, REGION

SCOPE = Scope(project=PROJECT, account=ACCOUNT, region=REGION, who="ben", poll_s=3)


def file(lines: str = "", *, first: str = "", market: str = "spot-first") -> Project:
    """Return a project whose job `pi` runs each hour, with further `lines` in its file; `first`: lines of the project itself."""
    text = f'''
        project = "{PROJECT}"
        regions = ["{REGION}"]
        {first}
        [jobs.pi]
        command = "pie 600 out/pi.txt"
        servers = ["c8g.large"]
        schedule = "0 * * * *"
        market = "{market}"
        {lines}
    '''
    return config.read(text, zones=ZoneInfo, now=datetime(2026, 11, 24, tzinfo=UTC))


def packages(
    project: Project,
    code: str = "code1",
    functions: str = "functions1",
    agent: str = "agent1",
    user_data: str = "dXNl" * 3300,  # about the size of the real one
) -> Packages:
    """Return what a build would return, with readable names in place of hashes."""
    return Packages(
        bundles={name: _built(f"{name}-{code}") for name in project.jobs},
        functions={name: _built(f"{name}-{functions}") for name in ("launcher", "sweeper")},
        agent_zip=_built(agent),
        user_data=user_data,
    )


def _built(name: str) -> Bundle:
    return Bundle(path=Path(f"/cache/{name}.zip"), sha256=name, size=3, files=1)


def deploy_flow(
    project: Project, scope: Scope = SCOPE, fresh_key: str = "whsec_ZnJlc2g=", **built: str
) -> Flow[deploying.Done]:
    """Deploy: look, plan and apply."""
    found = yield from deploying.look(scope, project)
    now = yield from ask(Now())
    prepared = deploying.make_plan(scope, project, found, packages(project, **built), ZoneInfo, now)
    return (yield from deploying.apply(scope, replace(prepared, fresh_key=fresh_key)))


def plan_of(account: ModelAccount, project: Project, **built: str) -> Any:
    """Return what a deploy would change now."""
    found = account.run(deploying.look(SCOPE, project))
    return deploying.make_plan(SCOPE, project, found, packages(project, **built), ZoneInfo, account.now).plan


def deploy(account: ModelAccount, project: Project | None = None, **built: str) -> deploying.Done:
    return account.run(deploy_flow(project or file(), **built))


def end(account: ModelAccount, *, keep: bool) -> Destroyed:
    return account.run(destroy(SCOPE, keep=keep))


def repeat(command: Any, account: ModelAccount, tries: int = 20) -> Any:
    """Run a command as a person does: again after a minute, while it says that something is still to be done."""
    for _ in range(tries):
        try:
            return command(account)
        except Unclear:
            account.faults.clear()
        except DayflyError as error:
            if error.exit_code != 6:
                raise
        account.pass_time(60)
    raise AssertionError(f"not done after {tries} tries")


def versions(account: ModelAccount) -> dict[str, Version]:
    """Return the newest version of each job."""
    newest: dict[str, Version] = {}
    keys = (key for key in account.objects if key.startswith(names.VERSIONS))
    for key in sorted(keys, key=names.effective_from_of):
        newest[key.split("/")[1]] = read_version(account.objects[key])
    return newest
