"""Shared by the tests of commands: an empty folder of a user without credentials."""

from __future__ import annotations

import os

import pytest


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
