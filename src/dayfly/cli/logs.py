"""`dayfly logs RUN`: print the job's output, byte for byte, to stdout and everything else to stderr. With `-f`, follow it."""

from __future__ import annotations

import codecs
import os
import sys

import click

from dayfly.cli import output
from dayfly.cli.find import find_run
from dayfly.cli.lookup import deployed_target, local_hints, note_if_slow
from dayfly.cli.options import json_option, local_option
from dayfly.cli.workspace import read_project
from dayfly.core.names import RunName
from dayfly.project import formatting
from dayfly.project.runs.logs import Tail, tail
from dayfly.project.runs.references import unique_name


@click.command("logs")
@click.argument("run_name", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="go on until the job is over")
@local_option
@json_option
def logs_command(run_name: str, follow: bool, use_local: bool, as_json: bool) -> int:
    """Print the log of a run's newest attempt."""
    project = read_project()
    where = deployed_target(project, use_local=use_local, as_json=True)
    with note_if_slow("reading the records of the run"), local_hints(use_local=use_local):
        run = find_run(where, project, run_name)
    documents = _Documents(run)
    emit = documents.piece if as_json else _write_bytes
    with local_hints(use_local=use_local):
        read = where.interpreter(project.name, emit=emit).run(tail(run, follow=follow, poll_s=where.poll_s))
    documents.end()
    if not read.bytes:
        output.note(_no_line(run, read))
    if not as_json:
        output.note(output.labelled("next", _next(run, read, use_local=use_local)))
    return 0


def _no_line(run: RunName, read: Tail) -> str:
    return f"{run}: its log is empty" if read.is_over else f"{run}: its log is empty so far"


def _next(run: RunName, read: Tail, *, use_local: bool) -> str:
    if read.is_over:
        return formatting.dayfly("show", unique_name(run), local=use_local)
    return formatting.dayfly("logs", unique_name(run), "-f", local=use_local)


def _write_bytes(body: bytes) -> None:
    try:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader is gone (`| head`). Stop without a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


class _Documents:
    """Prints a JSON document per line of the log."""

    def __init__(self, run: RunName) -> None:
        self._run, self._number, self._rest = str(run), 0, ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def piece(self, body: bytes) -> None:
        """Print the lines that this piece completes."""
        *whole, self._rest = (self._rest + self._decoder.decode(body)).split("\n")
        for line in whole:
            self._line(line)

    def end(self) -> None:
        """Print a last line that has no newline."""
        self._rest += self._decoder.decode(b"", final=True)
        if self._rest:
            self._line(self._rest)

    def _line(self, text: str) -> None:
        self._number += 1
        output.document({"run": self._run, "number": self._number, "line": text})
