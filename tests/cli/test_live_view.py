"""The live view: each step once, on the right stream, and no overwritten line without a terminal."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from datetime import UTC

from dayfly.cli.live_view import LiveView
from project.sample_runs import STARTED, WHOLE, attempt

RUNNING = replace(WHOLE, attempts=(attempt(started=STARTED),))


def test_each_step_is_printed_once(capsys):
    view = LiveView(UTC, as_json=False, tenths=True)
    assert [view.show(facts) for facts in (RUNNING, RUNNING, WHOLE, WHOLE)] == [4, 0, 3, 0]
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 7
    assert said.err == ""


def test_with_json_steps_go_to_stderr(capsys):
    LiveView(UTC, as_json=True).show(WHOLE)
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 7


def test_late_fact_is_still_printed(capsys):
    view = LiveView(UTC, as_json=False)
    view.show(replace(WHOLE, attempts=(replace(WHOLE.attempts[0], started=None, ended=None),)))
    view.show(WHOLE)
    assert "job ended    exit 0" in capsys.readouterr().out


def test_without_a_terminal_no_line_is_overwritten(capsys):
    view = LiveView(UTC, as_json=False)
    view.show(RUNNING)
    before = capsys.readouterr().out
    view.below("wrote part 1 of 9")
    view.show(WHOLE)
    assert before
    assert "part 1" not in capsys.readouterr().out


def test_on_a_terminal_the_newest_line_is_shown_and_removed():
    near, far = os.openpty()
    with os.fdopen(far, "w", encoding="utf-8") as screen, contextlib.redirect_stdout(screen):
        view = LiveView(UTC, as_json=False)
        view.show(RUNNING)
        view.below("wrote part 1\x1b[2J of 9")
        view.show(WHOLE)
    shown = _all_of(near).decode()
    assert "| wrote part 1[2J of 9\r\x1b[K" in shown
    assert shown.index("wrote part 1") < shown.index("job ended")


def _all_of(terminal: int) -> bytes:
    """Return everything written to a terminal that is closed; one read may return only a part."""
    found = b""
    with contextlib.suppress(OSError):  # EIO: nothing is left and the writer is gone
        while data := os.read(terminal, 65536):
            found += data
    os.close(terminal)
    return found
