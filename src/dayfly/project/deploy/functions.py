"""Stop and start the project's two functions, launcher and sweeper. Both can launch servers."""

from __future__ import annotations

from dayfly.core import names
from dayfly.errors import Refused, RightsError
from dayfly.flows.calls import Flow, Log, StartFunction, StopFunction, ask
from dayfly.project.deploy.scope import Scope


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
