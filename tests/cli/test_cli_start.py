"""`init` and `check` as typed: what they write, print and return. No cloud is asked; nothing but loopback is contacted."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dayfly.cli.main import main
from dayfly.cloud import account

IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::123456789012:user/anna</Arn><UserId>AIDA</UserId><Account>123456789012</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, of a user without any credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / "Lake of data!"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def test_init_writes_a_file_that_check_accepts(folder, capsys):
    assert main(["init"]) == 0
    said = capsys.readouterr().out
    assert "project lake-of-data, region eu-west-1; no account yet" in said
    assert said.splitlines()[-1] == "next     dayfly check      dayfly run hello --wait --local"
    assert main(["check"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "dayfly.toml  1 job, 1 region, no errors, no warnings"
    assert shown[-1] == "next     dayfly run hello --wait --local"
    assert not (folder / ".gitignore").exists()


def test_init_never_writes_over_a_file(folder, capsys):
    (folder / "dayfly.toml").write_text("mine")
    assert main(["init"]) == 2
    assert "is there already; nothing was changed" in capsys.readouterr().err
    assert (folder / "dayfly.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("there", "after"), [(None, ".dayfly/\n"), ("*.pyc", "*.pyc\n.dayfly/\n"), ("/.dayfly\n", "/.dayfly\n")]
)
def test_init_keeps_its_own_folder_out_of_git(folder, there, after):
    (folder / ".git").mkdir()
    if there is not None:
        (folder / ".gitignore").write_text(there)
    assert main(["init", "--name", "pi"]) == 0
    assert (folder / ".gitignore").read_text() == after
    assert 'project = "pi"' in (folder / "dayfly.toml").read_text()


def test_a_name_that_no_project_can_have_is_refused(folder, capsys):
    assert main(["init", "--name", "Pi!"]) == 2
    assert not (folder / "dayfly.toml").exists()
    assert "can not be the name of a project" in capsys.readouterr().err


def test_a_region_that_is_none_is_refused_before_anything_is_written(folder, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "Europe")
    assert main(["init"]) == 2
    assert not (folder / "dayfly.toml").exists()


def test_every_problem_of_a_file_is_shown_and_exits_2(folder, capsys):
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


def test_a_bundle_that_can_not_travel_is_a_problem_of_check(folder, capsys):
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


def test_check_keys_lists_every_key_without_a_file(folder, capsys):
    assert main(["check", "--keys"]) == 0
    said = capsys.readouterr().out
    assert "start_within" in said
    assert "[network.REGION]" in said
    assert not (folder / "dayfly.toml").exists()


class _Sts(BaseHTTPRequestHandler):
    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(IDENTITY)))
        self.end_headers()
        self.wfile.write(IDENTITY)

    def log_message(self, *_words: object) -> None:
        """Quiet."""


@pytest.fixture
def sts():
    server = HTTPServer(("127.0.0.1", 0), _Sts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("folder")
def test_the_account_is_that_of_the_credentials_at_hand(monkeypatch, sts):
    given = {"AWS_ACCESS_KEY_ID": "AKIA0", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert account.of_credentials("eu-west-1", given, endpoint=sts) == "123456789012"


@pytest.mark.usefixtures("folder")
def test_nothing_is_asked_without_credentials_or_when_calls_go_elsewhere(monkeypatch, sts):
    before = _Sts.asked
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert account.of_credentials("eu-west-1", {"HOME": str(Path.cwd())}, endpoint=sts) is None
    elsewhere = {"AWS_ACCESS_KEY_ID": "AKIA0", "AWS_ENDPOINT_URL": sts}
    assert account.of_credentials("eu-west-1", elsewhere, endpoint=sts) is None
    assert _Sts.asked == before
