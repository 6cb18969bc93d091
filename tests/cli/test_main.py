"""The `dayfly` program: its table of commands, what it imports, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from dayfly.cli.commands import COMMANDS
from dayfly.cli.main import dayfly_command, main

HEAVY = {
    "boto3",
    "botocore",
    "pathspec",
    "uv",
    "tomllib",
    "asyncio",
    "dayfly.cloud",
    "dayfly.flows",
    "dayfly.project.file",
    "dayfly.project.deploy",
}


def loaded(*words: str) -> set[str]:
    """Return the names of all modules that are loaded after this command."""
    program = (
        "import sys; from dayfly.cli.main import main; code = main(sys.argv[1:]);"
        " print('\\n' + ' '.join(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_no_command(option):
    modules = loaded(option)
    assert modules & HEAVY == set()
    assert modules & {entry.target.partition(":")[0] for entry in COMMANDS.values()} == set()


@pytest.mark.usefixtures("folder")
def test_check_loads_no_cloud():
    main(["init", "--name", "pi"])
    assert loaded("check") & {"boto3", "botocore", "dayfly.cloud"} == set()


@pytest.mark.parametrize("entry", COMMANDS.values(), ids=lambda entry: entry.name)
def test_table_names_the_command_and_its_arguments(entry):
    command = dayfly_command.get_command(click.Context(dayfly_command), entry.name)
    assert command is not None
    assert command.name == entry.name
    arguments = [
        each.make_metavar(click.Context(command)) for each in command.params if isinstance(each, click.Argument)
    ]
    assert " ".join(arguments) == entry.arguments


def test_unknown_command_is_refused(capsys):
    assert main(["nope"]) == 2
    assert "dayfly --help" in capsys.readouterr().err


def test_usage_error_with_json_is_one_document(capsys):
    assert main(["show", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["exit"], document["hint"]) == (2, "dayfly --help")


def test_bug_exits_70_and_debug_shows_where(monkeypatch, capsys):
    monkeypatch.setitem(COMMANDS, "ps", COMMANDS["ps"]._replace(target="dayfly.cli.ps:missing"))
    assert main(["ps"]) == 70
    assert "dayfly --debug" in capsys.readouterr().err
    assert main(["--debug", "ps"]) == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["runs", "pi\udcff"], ["run", "hello", "--env", "A=\ud800", "--local"], ["\udcff"]])
def test_argument_that_is_not_utf8_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert "is not valid UTF-8" in shown
    assert "\\ud" in shown
