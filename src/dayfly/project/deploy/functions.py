"""Stop and start the project's two functions, launcher and sweeper. Both can launch servers.

A destroy stops them first. If it is cut off, they stay stopped: no tick runs and no sweep, until a deploy or another destroy.
"""

from __future__ import annotations

from dayfly.core import names
from dayfly.errors import Refused, RightsError, Unclear, UnfinishedError
from dayfly.flows.calls import Flow, IsStopped, Log, StartFunction, StopFunction, ask
from dayfly.project.deploy.scope import Scope

CUT_OFF = "a destroy was cut off"
"""Why functions are stopped."""


def functions_stopped(project: str) -> Flow[bool]:
    """Return whether one of the functions is stopped; False if that cannot be seen."""
    for function in (names.launcher_function(project), names.sweeper_function(project)):
        try:
            if (yield from ask(IsStopped(function))):
                return True
        except (Refused, RightsError, Unclear):
            return False
    return False


def refuse_stopped(project: str) -> Flow[None]:
    """Raise UnfinishedError if the functions are stopped."""
    if (yield from functions_stopped(project)):
        raise UnfinishedError(
            f"the functions of {project} are stopped: {CUT_OFF}",
            hint="dayfly destroy to finish it, or dayfly deploy to start them again",
        )


def stop_functions(scope: Scope) -> Flow[None]:
    """Let launcher and sweeper run no more, so that nothing is launched. Kill schedules and switches go on.

    If AWS refuses that, the destroy goes on without: what is launched meanwhile is ended after the stack is gone.
    """
    for function in (names.launcher_function(scope.project), names.sweeper_function(scope.project)):
        try:
            yield from ask(StopFunction(function))
        except (Refused, RightsError) as error:
            yield from ask(Log(f"{function} was not stopped: {error.message}", {}))


def start_functions(scope: Scope) -> Flow[None]:
    """Let launcher and sweeper run again, the sweeper first."""
    yield from ask(StartFunction(names.sweeper_function(scope.project)))
    yield from ask(StartFunction(names.launcher_function(scope.project)))
