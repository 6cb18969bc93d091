"""The `dayfly` program: find the command, run it, and turn its result or its error into an exit code.

It imports no command: a command's module is loaded from the table in commands.py when it is used. A DayflyError becomes a message and the
exit code of its class. Any other exception is a bug in dayfly: exit 70, with the traceback if `--debug` is given.
"""

from __future__ import annotations

import importlib
import sys

import click

import dayfly
from dayfly.cli import output
from dayfly.cli.commands import COMMANDS, GROUPS
from dayfly.errors import DayflyError, FileError

INTERRUPTED, BUG = 130, 70
_CONTACT = "this is a bug in dayfly. Please report it; `dayfly --debug ...` shows where it is"


class Commands(click.Group):
    """The group of all commands. Its help fits one screen and loads no command."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_help(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("dayfly: periodic jobs on servers that live for one run\n\n")
        for title, entries in GROUPS:
            formatter.write(f"  {title:<10} {'  '.join(entry.usage for entry in entries)}\n")
        formatter.write(
            "\nRUN is JOB (its newest run), JOB@2026-11-24 or JOB@2026-11-24T01:30Z."
            "   --local: the local cloud.   --json: for programs.\n"
            "dayfly COMMAND --help for details.\n"
        )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(dayfly.__version__, prog_name="dayfly", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="show the traceback of a bug")
def dayfly_command(debug: bool) -> None:
    """Run periodic jobs on servers that live for one run."""
    click.get_current_context().obj = {"debug": debug}


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code. Prints errors; raises nothing."""
    given = sys.argv[1:] if arguments is None else arguments
    as_json, debug = "--json" in given, "--debug" in given
    try:
        _refuse_bytes(given)
        code = dayfly_command.main(args=given, prog_name="dayfly", standalone_mode=False)
    except DayflyError as error:
        output.error(error, as_json=as_json)
        return error.exit_code
    except click.ClickException as error:
        _print_usage_error(error, as_json=as_json)
        return 2
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:
        _print_bug(error, debug=debug, as_json=as_json)
        return BUG
    return code if isinstance(code, int) else 0


def _refuse_bytes(arguments: list[str]) -> None:
    """Raise FileError for an argument that is not UTF-8. Python reads its bytes as lone surrogates, which nothing can store or print."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise FileError(f"the argument {argument!a} is not valid UTF-8", hint="type it in UTF-8") from None


def _print_usage_error(error: click.ClickException, *, as_json: bool) -> None:
    if as_json:
        output.document({"error": error.format_message(), "hint": "dayfly --help", "exit": 2})
        return
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "dayfly"
    output.note(output.labelled("error", error.format_message()))
    output.note(output.labelled("do", f"{command} --help", indent=9))


def _print_bug(error: Exception, *, debug: bool, as_json: bool) -> None:
    what = f"{type(error).__name__}: {error}"
    if as_json:
        output.document({"error": what, "hint": _CONTACT, "exit": BUG})
    if debug:
        import traceback

        output.note(traceback.format_exc())
    elif not as_json:
        output.note(output.labelled("bug", what))
        output.note(output.labelled("do", _CONTACT, indent=9))


def run() -> None:
    """Run the command of the process's arguments and exit. The entry point of the console script."""
    sys.exit(main())
