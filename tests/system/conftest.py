"""One local cloud for the tests of this folder that ask for it, and the CLI, run in a folder as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

DAYFLY = [sys.executable, "-m", "dayfly"]


@dataclass
class Folder:
    """A folder with its own local cloud, in which `dayfly` runs."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)
    _clients: dict[str, Any] = field(default_factory=dict)
    _exported: dict[str, str] = field(default_factory=dict)

    def dayfly(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DAYFLY_SHORT_MARGIN": "1", **self.env}
        return subprocess.run(
            [*DAYFLY, *arguments],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )

    def json(self, *arguments: str, code: int = 0, timeout: float = 120) -> dict[str, Any]:
        """Run a command with `--json` and return its document; its exit code must be `code`."""
        done = self.dayfly(*arguments, "--json", timeout=timeout)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def write(self, text: str) -> None:
        (self.path / "dayfly.toml").write_text(text)

    def client(self, service: str) -> Any:
        """Return a boto3 client with the administrator's keys. Port and keys stay the same across `down` and `up`."""
        if service not in self._clients:
            given = self.exports()
            self._clients[service] = boto3.client(
                service,
                endpoint_url=given["AWS_ENDPOINT_URL"],
                aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
                region_name="eu-west-1",
            )
        return self._clients[service]

    def control(self, path: str, said: Any = None, method: str = "POST") -> dict[str, Any]:
        """Call a control of the local cloud, such as `clock`, and return its answer."""
        data = json.dumps(said).encode() if said is not None else None
        url = f"{self.exports()['AWS_ENDPOINT_URL']}/_localcloud/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=200) as answer:
            return json.load(answer)

    def exports(self) -> dict[str, str]:
        """Return what `dayfly local env` exports; asked once."""
        if not self._exported:
            lines = self.dayfly("local", "env").stdout.splitlines()
            self._exported = dict(
                line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export ")
            )
        return self._exported


class BackgroundCommands:
    """Commands that mostly wait. They run in their own folder while other tests run; their test reads the result."""

    def __init__(self, folder: Folder, text: str | None, *commands: tuple[str, ...]) -> None:
        self.folder = folder
        if text is not None:
            folder.write(text)
        self._pool = ThreadPoolExecutor(1)
        self._last = self._pool.submit(self._run, commands)

    def _run(self, commands: tuple[tuple[str, ...], ...]) -> subprocess.CompletedProcess[str]:
        for command in commands:
            done = self.folder.dayfly(*command, timeout=300)
        return done

    def output(self, code: int = 0) -> str:
        """Return what the last command printed; its exit code must be `code`."""
        done = self._last.result()
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def close(self) -> None:
        self._last.exception()
        self._pool.shutdown()
        self.folder.dayfly("local", "down")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """One folder with a running local cloud; each test uses a project with its own name."""
    folder = Folder(tmp_path_factory.mktemp("cloud"))
    up = folder.dayfly("local", "up")
    assert up.returncode == 0, up.stderr
    yield folder
    folder.dayfly("local", "down")


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Folder]:
    """An empty folder; a local cloud started in it is stopped after the test."""
    folder = Folder(tmp_path)
    yield folder
    folder.dayfly("local", "down")
