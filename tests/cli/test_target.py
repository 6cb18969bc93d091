"""The target of a command: only the account that the file names, and no endpoint of the environment without --local."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from dayfly.cli import target
from dayfly.errors import FileError
from dayfly.project.file import config

TEXT = """project = "lake"
account = "123456789012"
regions = ["eu-west-1"]
[jobs.a]
command = "true"
servers = ["c8g.large"]
"""


def test_account_other_than_in_the_file_is_refused():
    with pytest.raises(FileError, match=r"210987654321.*123456789012") as refused:
        target.refuse_other_account(config.read(TEXT, zones=ZoneInfo), "210987654321")
    assert refused.value.exit_code == 2


def test_own_account_passes_and_file_without_one_accepts_any():
    target.refuse_other_account(config.read(TEXT, zones=ZoneInfo), "123456789012")
    free = TEXT.replace('account = "123456789012"\n', "")
    target.refuse_other_account(config.read(free, zones=ZoneInfo), "210987654321")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_endpoint_in_the_environment_needs_local(monkeypatch, name):
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(FileError, match=name):
        target.refuse_stray_endpoint(use_local=False)
    target.refuse_stray_endpoint(use_local=True)
