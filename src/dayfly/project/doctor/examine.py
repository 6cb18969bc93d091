"""Run all of doctor's checks, one after the other. A check that AWS does not answer is a finding of its own and stops no other.

Which checks there are and in which order is here; what each means is in the other files of this room.
"""

from __future__ import annotations

from collections.abc import Callable

from dayfly.core.model import Project
from dayfly.core.ticks import Zones
from dayfly.errors import DayflyError, FileError, RightsError, SupplyError
from dayfly.flows.calls import FindStack, Flow, NoStack, ask
from dayfly.project.deploy.scope import Scope
from dayfly.project.doctor import account, deployed
from dayfly.project.doctor.findings import Finding, Level, fail

Found = tuple[Finding, ...]
Check = Callable[[Scope, Project], Flow[Found]]

_ACCOUNT: tuple[tuple[str, Check], ...] = (
    ("rights", account.rights),
    ("plan", account.plan),
    ("types", account.types),
    ("limits", account.limits),
    ("spot role", account.spot_role),
    ("network", account.network),
    ("images", account.images),
    ("names", account.reserved_names),
    ("clock", account.clock),
)
_DEPLOYED: tuple[tuple[str, Check], ...] = (
    ("stack", deployed.stack),
    ("sweeper", deployed.sweeper),
    ("dead letters", deployed.dead_letters),
    ("notify", deployed.told),
    ("strays", deployed.strays),
)


def examine(scope: Scope, project: Project, whose: Finding, zones: Zones) -> Flow[Found]:
    """Return all findings. Changes nothing. `whose`: the finding about the credentials; if it fails, nothing more is looked at."""
    if whose.level is Level.FAIL:
        return (whose,)
    found = [whose]
    for subject, check in _ACCOUNT:
        found += yield from _isolated(subject, check(scope, project))
    if isinstance((yield from ask(FindStack(scope.stack))), NoStack):
        return (*found, deployed.not_deployed())
    found += yield from _isolated("schedules", deployed.schedules(scope, project, zones))
    for subject, check in _DEPLOYED:
        found += yield from _isolated(subject, check(scope, project))
    return tuple(found)


def _isolated(subject: str, check: Flow[Found]) -> Flow[Found]:
    """Return a check's findings. An error becomes a finding: what AWS does not say is unknown, not well."""
    try:
        return (yield from check)
    except RightsError as error:
        text = f"may not look: {error.message}"
        return (Finding(level=Level.UNKNOWN, subject=subject, text=text, remedies=(error.hint,)),)
    except DayflyError as error:
        remedies = tuple(filter(None, [error.hint]))
        if isinstance(error, (FileError, SupplyError)):
            return (fail(subject, error.message, *remedies),)
        return (Finding(level=Level.UNKNOWN, subject=subject, text=error.message, remedies=remedies),)
