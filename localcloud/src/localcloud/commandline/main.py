"""The command line: `python -m localcloud up | down | status | env | image`. The only place of this package that prints."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from localcloud.commandline import image as imagecommand
from localcloud.errors import CloudError
from localcloud.server import control

DEFAULT_STATE = Path(".localcloud")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 for a failure, 3 for `status` and `env` when no cloud runs."""
    asked = _parser().parse_args(arguments)
    try:
        code: int = asked.run(asked)
        return code
    except CloudError as error:
        if getattr(asked, "ready_fd", None) is not None:
            _say_ready(asked.ready_fd, {"error": error.message, "remedy": error.remedy})
        if getattr(asked, "json", False):
            _say(json.dumps({"error": error.message, "remedy": error.remedy}))
        else:
            sys.stderr.write(f"{error.message}\n{error.remedy}\n")
        return 1


def _up(asked: argparse.Namespace) -> int:
    wish = control.Wish(
        directory=asked.state,
        port=asked.port,
        region=asked.region,
        parent_pipe=asked.parent_pipe,
        internet=asked.internet,
        recurring=not asked.no_recurring,
        guests=asked.guests,
        max_guests=asked.max_guests,
        max_life=asked.max_life,
    )
    if not asked.foreground:
        _say_up(control.up(wish), asked.json)
        return 0

    def ready(facts: dict[str, Any]) -> None:
        if asked.ready_fd is not None:
            _say_ready(asked.ready_fd, facts)
        else:
            _say_up(facts, asked.json)

    control.run(wish, ready)
    return 0


def _down(asked: argparse.Namespace) -> int:
    ended = control.down(asked.state)
    if asked.json:
        _say(json.dumps({"ended": ended}))
    else:
        _say("local cloud ended" if ended else f"no local cloud runs in {asked.state}")
    return 0


def _status(asked: argparse.Namespace) -> int:
    facts = control.status(asked.state)
    if asked.json:
        _say(json.dumps({"running": facts is not None} | (facts or {})))
    elif facts is None:
        _say(f"no local cloud runs in {asked.state}")
    else:
        for line in _status_lines(facts):
            _say(line)
    return 0 if facts is not None else 3


def _status_lines(facts: dict[str, Any]) -> list[str]:
    """A line for each fact, for each of a list, and for each guest that runs."""
    width = max(len(name) for name in facts) + 1
    lines = []
    for name, value in facts.items():
        if name == "guests_now":
            said = [_guest_line(one) for one in value]
        elif isinstance(value, bool):
            said = ["yes" if value else "no"]
        else:
            said = [f"{one:g}" if isinstance(one, float) else str(one) for one in _each(value)]
        lines += [f"{name:<{width}}{one}" for one in said]
    return lines


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _guest_line(guest: dict[str, Any]) -> str:
    """A guest that runs: whose it is, and what it takes of this machine as far as its body knows."""
    words = [str(guest["instance"])]
    words += [f"pid {guest['pid']}"] if guest.get("pid") is not None else []
    words += [f"{guest['rss_mib']} MiB"] if guest.get("rss_mib") is not None else []
    words += [f"began {guest['began_s_ago']:.0f} s ago"] if guest.get("began_s_ago") is not None else []
    after = guest.get("qemu_started_after_s")
    words += [f"QEMU started after {after:g} s"] if after is not None else []
    return ", ".join(words)


def _env(asked: argparse.Namespace) -> int:
    for name, value in control.exports(asked.state).items():
        _say(f"unset {name}" if value is None else f"export {name}={value}")
    return 0


def _say_up(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _say(json.dumps(facts))
    else:
        _say(f"local cloud at {facts['endpoint']} (pid {facts['pid']}, guests: {facts['guests']})")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _say_ready(descriptor: int, facts: dict[str, Any]) -> None:
    with os.fdopen(descriptor, "w") as out:
        out.write(json.dumps(facts) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localcloud", description="AWS on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text)
        sub.add_argument("--state", type=Path, default=DEFAULT_STATE, help="state directory (default: %(default)s)")
        sub.set_defaults(run=run)
        return sub

    sub = command("up", _up, "start a cloud; returns when it answers")
    sub.add_argument("--port", type=int, help="port on 127.0.0.1 (default: a free one, kept for later starts)")
    sub.add_argument("--region", help="region that clients use by default (default: us-east-1)")
    sub.add_argument("--foreground", action="store_true", help="stay in the foreground")
    sub.add_argument("--parent-pipe", action="store_true", help="end when standard input reaches its end")
    sub.add_argument("--internet", action="store_true", help="let guests use this machine's network")
    sub.add_argument("--no-recurring", action="store_true", help="let only one-time schedules fire")
    sub.add_argument(
        "--guests", choices=("process", "vm"), help=f"what servers are (default: {control.DEFAULT_GUESTS})"
    )
    sub.add_argument("--max-guests", type=int, metavar="N", help="guests at once; more stay pending")
    sub.add_argument("--max-life", type=float, metavar="SECONDS", help="a guest is ended then (default: a day)")
    sub.add_argument("--json", action="store_true", help="say the facts as one JSON object")
    sub.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    sub = command("down", _down, "end the cloud and everything it started")
    sub.add_argument("--json", action="store_true")
    sub = command("status", _status, "say whether a cloud runs, and what it is")
    sub.add_argument("--json", action="store_true")
    command("env", _env, "print shell exports for AWS clients")
    imagecommand.register(commands, _say)
    return parser
