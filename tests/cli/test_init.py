"""`dayfly init`: what it writes and prints. No cloud is asked; only loopback is contacted."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dayfly.cli.main import main
from dayfly.cloud import account
from dayfly.project.file import schema

IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::123456789012:user/anna</Arn><UserId>AIDA</UserId><Account>123456789012</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


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


def test_init_refers_to_a_copy_of_the_schema(folder):
    assert main(["init"]) == 0
    first = (folder / "dayfly.toml").read_text().splitlines()[0]
    assert first == "#:schema .dayfly/dayfly.schema.json"
    assert (folder / ".dayfly/dayfly.schema.json").read_text() == schema.text()


def test_init_never_overwrites_a_file(folder, capsys):
    (folder / "dayfly.toml").write_text("mine")
    assert main(["init"]) == 2
    assert "already exists; nothing was changed" in capsys.readouterr().err
    assert (folder / "dayfly.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("there", "after"), [(None, ".dayfly/\n"), ("*.pyc", "*.pyc\n.dayfly/\n"), ("/.dayfly\n", "/.dayfly\n")]
)
def test_init_adds_its_folder_to_gitignore(folder, there, after):
    (folder / ".git").mkdir()
    if there is not None:
        (folder / ".gitignore").write_text(there)
    assert main(["init", "--name", "pi"]) == 0
    assert (folder / ".gitignore").read_text() == after
    assert 'project = "pi"' in (folder / "dayfly.toml").read_text()


def test_invalid_project_name_is_refused(folder, capsys):
    assert main(["init", "--name", "Pi!"]) == 2
    assert not (folder / "dayfly.toml").exists()
    assert "cannot be the name of a project" in capsys.readouterr().err


def test_invalid_region_is_refused_before_anything_is_written(folder, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "Europe")
    assert main(["init"]) == 2
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
def test_account_is_that_of_the_credentials(monkeypatch, sts):
    given = {"AWS_ACCESS_KEY_ID": "AKIA0", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert account.of_credentials("eu-west-1", given, endpoint=sts) == "123456789012"


@pytest.mark.usefixtures("folder")
def test_account_is_not_asked_without_credentials_or_with_an_endpoint(monkeypatch, sts):
    before = _Sts.asked
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert account.of_credentials("eu-west-1", {"HOME": str(Path.cwd())}, endpoint=sts) is None
    elsewhere = {"AWS_ACCESS_KEY_ID": "AKIA0", "AWS_ENDPOINT_URL": sts}
    assert account.of_credentials("eu-west-1", elsewhere, endpoint=sts) is None
    assert _Sts.asked == before
