"""What the looking commands share: the target found and named, a project that was never deployed, a word when it takes its time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dayfly.cli import output, target
from dayfly.cloud import results
from dayfly.core.model import Project
from dayfly.errors import DayflyError, NotFoundError


@contextmanager
def slowly(words_of_it: str) -> Iterator[None]:
    """Says on stderr what takes its time, once it took a second."""
    timer = threading.Timer(1.0, output.note, args=(f"  {words_of_it}",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def looked_up(project: Project, *, use_local: bool, as_json: bool) -> target.Target:
    """The target, named. Raises NotFoundError when the project was never deployed there."""
    where = target.find(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    if not results.present(where.aws, where.bucket(project.name)):
        hint = f"dayfly run {next(iter(project.jobs))} --wait --local" if use_local else "dayfly deploy"
        raise NotFoundError(f"{project.name} was never deployed here", hint=hint)
    return where


@contextmanager
def hints(*, use_local: bool) -> Iterator[None]:
    """What is refused inside names commands to type; here they get the `--local` that this command had."""
    try:
        yield
    except DayflyError as error:
        if use_local and error.hint.startswith("dayfly ") and "--local" not in error.hint:
            error.hint += " --local"
        raise
