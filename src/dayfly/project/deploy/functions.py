"""Stop and start the project's two functions, launcher and sweeper. Both can launch servers."""

from __future__ import annotations

from dayfly.core import names
from dayfly.flows.calls import Flow, StartFunction, StopFunction, ask
from dayfly.project.deploy.scope import Scope


def stop_functions(scope: Scope) -> Flow[None]:
    """Let launcher and sweeper run no more, so that nothing is launched. Kill schedules and switches go on."""
    yield from ask(StopFunction(names.launcher_function(scope.project)))
    yield from ask(StopFunction(names.sweeper_function(scope.project)))


def start_functions(scope: Scope) -> Flow[None]:
    """Let launcher and sweeper run again, the sweeper first."""
    yield from ask(StartFunction(names.sweeper_function(scope.project)))
    yield from ask(StartFunction(names.launcher_function(scope.project)))
