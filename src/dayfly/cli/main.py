"""The door: the group of commands in the order of a day, what every command shares, the only exit code.

Each command's own file is beside this one. What is refused becomes a message and its class's exit code; anything else that is
raised is a bug of ours: exit 70, with the traceback when `--debug` asks for it.
"""

from __future__ import annotations

import sys
import traceback

import click

import dayfly
from dayfly.cli import say
from dayfly.errors import DayflyError

GROUPS = (
    ("Start", ("init", "check", "run", "demo")),
    ("Live", ("deploy", "destroy")),
    ("Look", ("runs", "show", "logs", "fetch", "ps")),
    ("Mend", ("retry", "cancel")),
    ("More", ("local",)),
)
ARGUMENTS = {"run": "run JOB", "runs": "runs [JOB]", "show": "show RUN", "logs": "logs RUN", "fetch": "fetch RUN"}
ARGUMENTS |= {"retry": "retry RUN", "cancel": "cancel RUN"}
CTRL_C, BUG = 130, 70


class Commands(click.Group):
    """The group with its own one-screen help."""

    def format_help(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("dayfly: periodic jobs on servers that live for one run\n\n")
        for title, commands in GROUPS:
            formatter.write(f"  {title:<10} {'  '.join(ARGUMENTS.get(name, name) for name in commands)}\n")
        formatter.write(
            "\nRUN is JOB (its newest run), JOB@2026-11-24 or JOB@2026-11-24T01:30Z."
            "   --local: the local cloud.   --json: for programs.\n"
            "dayfly COMMAND --help says more of each.\n"
        )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(dayfly.__version__, prog_name="dayfly", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="show the traceback of a bug")
def dayfly_command(debug: bool) -> None:
    """Periodic jobs on servers that live for one run."""
    click.get_current_context().obj = {"debug": debug}


local_option = click.option("--local", "use_local", is_flag=True, help="the local cloud of this folder, not AWS")
json_option = click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
guest_option = click.option(
    "--guest",
    type=click.Choice(["process", "vm"]),
    help="what servers of the local cloud are (default: what runs, else process)",
)
utc_option = click.option("--utc", is_flag=True, help="times in UTC, not in the job's zone")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code. Prints what was refused; raises nothing."""
    import dayfly.cli.commands  # noqa: F401 - registers the commands, which import this module

    given = sys.argv[1:] if arguments is None else arguments
    as_json, debug = "--json" in given, "--debug" in given
    try:
        code = dayfly_command.main(args=given, prog_name="dayfly", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except DayflyError as error:
        say.refusal(error, as_json=as_json)
        return error.exit_code
    except click.ClickException as error:
        return _usage(error, as_json=as_json)
    except (KeyboardInterrupt, click.Abort):
        return CTRL_C
    except Exception as error:
        return _bug(error, debug=debug, as_json=as_json)


def _usage(error: click.ClickException, *, as_json: bool) -> int:
    if as_json:
        say.document({"error": error.format_message(), "hint": "dayfly --help", "exit": 2})
    else:
        say.note(say.labelled("error", error.format_message()))
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "dayfly"
        say.note(f"{' ' * 9}{'do':<8} {command} --help")
    return 2


def _bug(error: Exception, *, debug: bool, as_json: bool) -> int:
    if as_json:
        say.document({"error": f"{type(error).__name__}: {error}", "hint": "a bug of dayfly's", "exit": BUG})
    if debug:
        say.note(traceback.format_exc())
    elif not as_json:
        say.note(say.labelled("bug", f"{type(error).__name__}: {error}"))
        say.note(
            f"{' ' * 9}{'do':<8} this is dayfly's fault; the same with `dayfly --debug ...` shows where. Please report it"
        )
    return BUG


def run() -> None:
    """The console script."""
    sys.exit(main())
