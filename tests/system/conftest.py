"""A local cloud for all tests of this folder that ask for one, started once, and the CLI run in a folder as a user would."""

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
    """A folder with its own local cloud, and `dayfly` run in it."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)
    _clients: dict[str, Any] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

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
        """The one document of a command with `--json`; its exit code must be `code`."""
        done = self.dayfly(*arguments, "--json", timeout=timeout)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def write(self, text: str) -> None:
        (self.path / "dayfly.toml").write_text(text)

    def client(self, service: str) -> Any:
        """A boto3 client of this folder's cloud, as its administrator. Port and keys stay the same over `down` and `up`."""
        if service not in self._clients:
            given = self._exports()
            self._clients[service] = boto3.client(
                service,
                endpoint_url=given["AWS_ENDPOINT_URL"],
                aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
                region_name="eu-west-1",
            )
        return self._clients[service]

    def control(self, path: str, said: Any = None, method: str = "POST") -> dict[str, Any]:
        """Use a control of the local cloud, such as `clock`; its answer."""
        data = json.dumps(said).encode() if said is not None else None
        url = f"{self._exports()['AWS_ENDPOINT_URL']}/_localcloud/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=200) as answer:
            return json.load(answer)

    def _exports(self) -> dict[str, str]:
        """What `dayfly local env` exports, asked for once."""
        if not self._said:
            lines = self.dayfly("local", "env").stdout.splitlines()
            self._said = dict(
                line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export ")
            )
        return self._said


class Begun:
    """Commands that mostly wait, run in a folder of its own while other tests go on; the test they belong to takes their end."""

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

    def ended(self, code: int = 0) -> str:
        """What the last command printed; its exit code must be `code`."""
        done = self._last.result()
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def close(self) -> None:
        self._last.exception()
        self._pool.shutdown()
        self.folder.dayfly("local", "down")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """One folder with a running local cloud; tests in it use projects of their own names."""
    folder = Folder(tmp_path_factory.mktemp("cloud"))
    up = folder.dayfly("local", "up")
    assert up.returncode == 0, up.stderr
    yield folder
    folder.dayfly("local", "down")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Folder]:
    """An empty folder whose cloud, if any is started, ends with the test."""
    folder = Folder(tmp_path)
    yield folder
    folder.dayfly("local", "down")
