"""The commands of `python -m localcloud`: up, down, status, env; `image` is in image.py. Only this package prints."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from localcloud.commandline import image
from localcloud.errors import CloudError
from localcloud.server import lifecycle
from localcloud.server.lifecycle import Facts, Settings

DEFAULT_STATE = Path(".localcloud")
_FAILED = 1
_NOT_RUNNING = 3


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 1 for a failure, 3 for `status` and `env` when no cloud runs."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except CloudError as error:
        _print_error(options, error)
        return _FAILED


def _print_error(options: argparse.Namespace, error: CloudError) -> None:
    document = {"error": error.message, "remedy": error.remedy}
    if getattr(options, "ready_fd", None) is not None:
        _write_line(options.ready_fd, document)
    if getattr(options, "json", False):
        _print(json.dumps(document))
    else:
        sys.stderr.write(f"{error.message}\n{error.remedy}\n")


def _up(options: argparse.Namespace) -> int:
    settings = Settings(
        directory=options.state,
        port=options.port,
        region=options.region,
        parent_pipe=options.parent_pipe,
        internet=options.internet,
        recurring=not options.no_recurring,
        guests=options.guests,
        max_guests=options.max_guests,
        max_life=options.max_life,
    )
    if not options.foreground:
        _print_up(lifecycle.up(settings), options.json)
        return 0

    def ready(facts: Facts) -> None:
        if options.ready_fd is not None:
            _write_line(options.ready_fd, facts)
        else:
            _print_up(facts, options.json)

    lifecycle.run(settings, ready)
    return 0


def _down(options: argparse.Namespace) -> int:
    ended = lifecycle.down(options.state)
    if options.json:
        _print(json.dumps({"ended": ended}))
    elif ended:
        _print("local cloud ended")
    else:
        _print(f"no local cloud runs in {options.state}")
    return 0


def _status(options: argparse.Namespace) -> int:
    facts = lifecycle.status(options.state)
    if options.json:
        _print(json.dumps({"running": facts is not None} | (facts or {})))
    elif facts is None:
        _print(f"no local cloud runs in {options.state}")
    else:
        for line in status_lines(facts):
            _print(line)
    return _NOT_RUNNING if facts is None else 0


def status_lines(facts: Facts) -> list[str]:
    """Return a line for each fact, for each item of a list, and for each running guest."""
    width = max(len(name) for name in facts) + 1
    return [f"{name:<{width}}{text}" for name, value in facts.items() for text in _texts(name, value)]


def _texts(name: str, value: Any) -> list[str]:
    """Return a fact as texts for a person."""
    if name == "guests_now":
        return [_guest_line(guest) for guest in value]
    if isinstance(value, list):
        return [_text(one) for one in value]
    return [_text(value)]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _guest_line(guest: dict[str, Any]) -> str:
    """Return what is known of a running guest: its instance, and what it uses of this machine."""
    forms = {
        "instance": "{}",
        "pid": "pid {}",
        "rss_mib": "{} MiB",
        "began_s_ago": "began {:.0f} s ago",
        "qemu_started_after_s": "QEMU started after {:g} s",
    }
    return ", ".join(form.format(guest[name]) for name, form in forms.items() if guest.get(name) is not None)


def _env(options: argparse.Namespace) -> int:
    for name, value in lifecycle.exports(options.state).items():
        if value is None:
            _print(f"unset {name}")
        else:
            _print(f"export {name}={value}")
    return 0


def _print_up(facts: Facts, as_json: bool) -> None:
    if as_json:
        _print(json.dumps(facts))
    else:
        _print(f"local cloud at {facts['endpoint']} (pid {facts['pid']}, guests: {facts['guests']})")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _write_line(descriptor: int, document: dict[str, Any]) -> None:
    with os.fdopen(descriptor, "w") as out:
        out.write(json.dumps(document) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localcloud", description="AWS on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text)
        sub.add_argument("--state", type=Path, default=DEFAULT_STATE, help="state directory (default: %(default)s)")
        sub.set_defaults(run=run)
        return sub

    _add_up_options(command("up", _up, "start a cloud; returns when it answers"))
    sub = command("down", _down, "end the cloud and everything it started")
    sub.add_argument("--json", action="store_true", help="print the result as a JSON object")
    sub = command("status", _status, "show whether a cloud runs, and its facts")
    sub.add_argument("--json", action="store_true", help="print the facts as a JSON object")
    command("env", _env, "print shell exports for AWS clients")
    image.register(commands, _print)
    return parser


def _add_up_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--port", type=int, help="port on 127.0.0.1 (default: a free one, kept for later starts)")
    sub.add_argument("--region", help="region that clients use by default (default: us-east-1)")
    sub.add_argument("--foreground", action="store_true", help="stay in the foreground")
    sub.add_argument("--parent-pipe", action="store_true", help="end when standard input reaches its end")
    sub.add_argument("--internet", action="store_true", help="let guests use this machine's network")
    sub.add_argument("--no-recurring", action="store_true", help="fire only one-time schedules")
    sub.add_argument(
        "--guests", choices=("process", "vm"), help=f"kind of guests (default: {lifecycle.DEFAULT_GUESTS})"
    )
    sub.add_argument(
        "--max-guests", type=int, metavar="N", help="how many guests run at once; other instances stay pending"
    )
    sub.add_argument("--max-life", type=float, metavar="SECONDS", help="end a guest after this time (default: a day)")
    sub.add_argument("--json", action="store_true", help="print the facts as a JSON object")
    sub.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
