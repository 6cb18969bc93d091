"""What commands that read share: find and name the target, refuse a project that was never deployed, say what takes long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dayfly.cli import output, target
from dayfly.core.model import Project
from dayfly.errors import DayflyError, NotFoundError
from dayfly.project.deploy.bucket import was_deployed


@contextmanager
def slowly(words_of_it: str) -> Iterator[None]:
    """Says on stderr what takes long, after a second of it."""
    timer = threading.Timer(1.0, output.note, args=(f"  {words_of_it}",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def looked_up(project: Project, *, use_local: bool, as_json: bool) -> target.Target:
    """Finds the target and names it. Raises NotFoundError when the project was never deployed there."""
    where = target.find(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    if not where.interpreter(project.name).run(was_deployed(where.scope(project.name))):
        raise NotFoundError(
            f"{project.name} was never deployed here", hint=_how_to_deploy(project, use_local=use_local)
        )
    return where


def _how_to_deploy(project: Project, *, use_local: bool) -> str:
    if not use_local:
        return "dayfly deploy"
    return f"dayfly run {next(iter(project.jobs))} --wait --local"


@contextmanager
def hints(*, use_local: bool) -> Iterator[None]:
    """Adds this command's `--local` to the command that the hint of an error inside names."""
    try:
        yield
    except DayflyError as error:
        if use_local and error.hint.startswith("dayfly ") and "--local" not in error.hint:
            error.hint += " --local"
        raise
