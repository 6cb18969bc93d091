"""`dayfly logs RUN`: the job's own words, to the byte, on stdout; all else goes to stderr. With `-f` as they come."""

from __future__ import annotations

import codecs
import os
import sys
import time
from collections.abc import Iterator

import click

from dayfly.cli import say, target
from dayfly.cli.find import find_run
from dayfly.cli.lookup import hints, looked_up, slowly
from dayfly.cli.main import dayfly_command, json_option, local_option
from dayfly.cloud import results
from dayfly.core import names
from dayfly.core.facts import Attempt, Facts
from dayfly.errors import NotFoundError, Unclear
from dayfly.flows.gather import gather
from dayfly.project.runs import look
from dayfly.project.screens import ending, words

_LOCAL_POLL_S, _AWS_POLL_S = 0.5, 3.0
_UNCLEAR = 20


@dayfly_command.command("logs")
@click.argument("run_name", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="go on until the job is over")
@local_option
@json_option
def logs_command(run_name: str, follow: bool, use_local: bool, as_json: bool) -> int:
    """Print the log of a run's newest attempt."""
    project = target.project()
    where = looked_up(project, use_local=use_local, as_json=True)
    with slowly("reading the records of the run"), hints(use_local=use_local):
        run = find_run(where, project, run_name)
    write = _Documents(run) if as_json else _Plain()
    reader = _Reader(where, project.name, run)
    count = 0
    with hints(use_local=use_local):
        for body in reader.pieces(follow=follow):
            count += len(body)
            write.piece(body)
    write.end()
    if not count:
        say.note(f"{run}: no line in its log" + ("" if reader.over else " yet"))
    if not as_json:
        say.note(
            say.labelled(
                "next",
                words.dayfly(
                    "show" if reader.over else "logs",
                    words.name(run),
                    *(() if reader.over else ("-f",)),
                    local=use_local,
                ),
            )
        )
    return 0


class _Reader:
    """The pieces of one run's log. `over`: no more will come."""

    def __init__(self, where: target.Target, project: str, run: names.RunName) -> None:
        self._where, self._project, self._run = where, project, run
        self._poll = _LOCAL_POLL_S if where.local else _AWS_POLL_S
        self.over = False

    def pieces(self, *, follow: bool) -> Iterator[bytes]:
        """Each piece once, in order; with `follow` until the job is over. Raises NotFoundError for a run without a server."""
        interpreter, bucket = self._where.interpreter(self._project), self._where.bucket(self._project)
        seen: set[str] = set()
        unclear = 0
        while True:
            try:
                facts = interpreter.run(gather(self._run))
                attempt = _attempt(facts, follow=follow)
                keys = interpreter.run(look.log_pieces(self._run, attempt)) if attempt else ()
            except Unclear:
                unclear += 1
                if unclear > _UNCLEAR:
                    raise
                time.sleep(self._poll)
                continue
            unclear = 0
            for key in keys:
                if key not in seen:
                    seen.add(key)
                    yield results.piece(self._where.aws, bucket, key)
            self.over = _over(attempt)
            if self.over or not follow:
                return
            time.sleep(self._poll)


def _attempt(facts: Facts, *, follow: bool) -> Attempt | None:
    """The newest attempt that has a server. None: wait for one. Raises NotFoundError when there is none and none will come."""
    with_server = [one for one in facts.attempts if one.elected is not None]
    newest = facts.attempt
    going = facts.opened is not None and (newest is None or newest.closed is None)
    if follow and going and (newest is None or newest.election is None):
        return None
    if with_server:
        return with_server[-1]
    if going and follow:
        return None
    end = ending(facts, local=False)
    raise NotFoundError(
        f"{facts.run} has no log: {end.why or 'it has no server yet'}", hint=f"dayfly show {words.name(facts.run)}"
    )


def _over(attempt: Attempt | None) -> bool:
    """Whether the log is whole: the agent said its last word, or its server went without one."""
    if attempt is None:
        return False
    gone = attempt.server is not None and attempt.server.gone
    return attempt.ended is not None or attempt.closed is not None or gone


class _Plain:
    """Bytes as they are."""

    def piece(self, body: bytes) -> None:
        try:
            sys.stdout.buffer.write(body)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Whoever read us has gone (`| head`): the rest is for nobody.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(0) from None

    def end(self) -> None:
        """Nothing is held back."""


class _Documents:
    """A JSON document per line of the log."""

    def __init__(self, run: names.RunName) -> None:
        self._run, self._number, self._rest = str(run), 0, ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def piece(self, body: bytes) -> None:
        *whole, self._rest = (self._rest + self._decoder.decode(body)).split("\n")
        for line in whole:
            self._line(line)

    def end(self) -> None:
        self._rest += self._decoder.decode(b"", final=True)
        if self._rest:
            self._line(self._rest)

    def _line(self, text: str) -> None:
        self._number += 1
        say.document({"run": self._run, "number": self._number, "line": text})
