"""Shared by the commands that look things up: find the target and print it, refuse a project that was never deployed, note slow work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dayfly.cli import output, target
from dayfly.core.model import Project
from dayfly.errors import DayflyError, NotFoundError
from dayfly.project.deploy.bucket import was_deployed


@contextmanager
def note_if_slow(text: str) -> Iterator[None]:
    """Print the text to stderr if the block takes longer than a second."""
    timer = threading.Timer(1.0, output.note, args=(f"  {text}",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def deployed_target(project: Project, *, use_local: bool, as_json: bool) -> target.Target:
    """Find the target and print its line. Raises NotFoundError if the project was never deployed there."""
    where = target.find(project, use_local=use_local)
    return _deployed(where, project, as_json=as_json)


def deployed_for_changes(project: Project, *, use_local: bool, as_json: bool) -> target.Target:
    """Find the target of a command that changes something, and print its line. Raises as `deployed_target`, and for the wrong account."""
    where = target.for_changes(project, use_local=use_local)
    return _deployed(where, project, as_json=as_json)


def _deployed(where: target.Target, project: Project, *, as_json: bool) -> target.Target:
    target.announce(where, as_json=as_json)
    if not where.interpreter(project.name).run(was_deployed(where.scope(project.name))):
        raise NotFoundError(
            f"{project.name} was never deployed here", hint=_how_to_deploy(project, use_local=where.is_local)
        )
    return where


def _how_to_deploy(project: Project, *, use_local: bool) -> str:
    if not use_local:
        return "dayfly deploy"
    return f"dayfly run {next(iter(project.jobs))} --wait --local"


@contextmanager
def local_hints(*, use_local: bool) -> Iterator[None]:
    """Add `--local` (with `use_local`) to the command in the hint of an error that the block raises."""
    try:
        yield
    except DayflyError as error:
        if use_local and error.hint.startswith("dayfly ") and "--local" not in error.hint:
            error.hint += " --local"
        raise
