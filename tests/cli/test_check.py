"""`dayfly check`: what it prints and returns. No cloud is asked."""

from __future__ import annotations

import json

import pytest

from dayfly.cli.main import main
from dayfly.project.file import schema


def test_check_shows_all_problems_and_exits_2(folder, capsys):
    (folder / "dayfly.toml").write_text(
        'project = "p1"\nregions = ["eu-west-1"]\n[jobs.a]\ncommand = "x"\nservers = ["t4g.small"]\ntime_limt = "1m"\n'
        'schedule = "30 2 * * 1-5 *"\n'
    )
    assert main(["check"]) == 2
    said = capsys.readouterr()
    assert "jobs.a.time_limt (line 6): unknown key" in said.err
    assert "jobs.a.schedule (line 7)" in said.err
    assert "2 errors in dayfly.toml; nothing was changed" in said.err
    assert said.out == ""


def test_check_reports_a_bundle_that_cannot_be_built(folder, capsys):
    main(["init", "--name", "pi"])
    path = folder / "dayfly.toml"
    path.write_text(path.read_text().replace('bundle     = ["."]', 'bundle     = ["gone/"]'))
    capsys.readouterr()
    assert main(["check"]) == 2
    said = capsys.readouterr()
    assert "gone/" in said.err
    assert said.out.startswith("dayfly.toml  1 job, 1 region, 1 error")
    assert main(["check", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert len(document["errors"]) == 1
    assert document["format"] == 1


def test_check_keys_needs_no_file(folder, capsys):
    assert main(["check", "--keys"]) == 0
    said = capsys.readouterr().out
    assert "start_within" in said
    assert "[network.REGION]" in said
    assert not (folder / "dayfly.toml").exists()


@pytest.mark.parametrize("old", [None, "{}"])
def test_check_refreshes_the_copy_of_the_schema(folder, old):
    main(["init", "--name", "pi"])
    copy = folder / ".dayfly/dayfly.schema.json"
    copy.unlink()
    if old is not None:
        copy.write_text(old)
    assert main(["check"]) == 0
    assert copy.read_text() == schema.text()


def test_check_writes_no_schema_for_a_file_without_the_reference(folder):
    main(["init", "--name", "pi"])
    path = folder / "dayfly.toml"
    path.write_text(path.read_text().partition("\n")[2])
    (folder / ".dayfly/dayfly.schema.json").unlink()
    assert main(["check"]) == 0
    assert not (folder / ".dayfly/dayfly.schema.json").exists()


GOOD = b'project = "p1"\nregions = ["eu-west-1"]\n[jobs.a]\ncommand = "x"\nservers = ["t4g.small"]\n'


@pytest.mark.parametrize(
    "content",
    [
        GOOD + b"x = " + b"[" * 5000 + b"]" * 5000,
        GOOD + b"disk = " + b"9" * 5000,
        GOOD + b"disk = 2026-11-24",
        GOOD + b'setup = "\xff\xfe"',
        GOOD + b'setup = "\xed\xa0\x80"',
        GOOD + b"\0",
        GOOD + b"#" * 5_000_000,
        GOOD + b'bundle = ["' + b"x" * 5000 + b'"]',
        b"",
    ],
    ids=["deep", "digits", "date", "not UTF-8", "surrogate", "NUL", "huge", "long path", "empty"],
)
def test_check_of_an_odd_file_exits_2(folder, capsys, content):
    (folder / "dayfly.toml").write_bytes(content)
    assert main(["check"]) == 2
    assert "error" in capsys.readouterr().err
    assert main(["check", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["exit"] == 2
