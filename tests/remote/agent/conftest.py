"""A server for tests: runs the real user data as a process guest does, against the services of aws.py."""

from __future__ import annotations

import email
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dayfly.core import names
from dayfly.project.bundle.server_code import build_agent_zip, read_boot_sources
from dayfly.project.stack import user_data as builder
from remote.agent.aws import REGION, Aws

PACKAGE = Path(__file__).parents[3] / "src" / "dayfly"
ROLE = "AROATESTROLE"
RUN = names.run_name("pi@2026-11-24T22:41:00Z")


def user_data() -> bytes:
    boothook = (PACKAGE / "remote" / "boot" / "boothook.sh").read_text()
    return builder.build(boothook, read_boot_sources(PACKAGE))


def scripts(sent: bytes) -> dict[str, str]:
    """Return the MIME parts by type, as cloud-init reads them."""
    message = email.message_from_bytes(gzip.decompress(sent))
    return {part.get_content_type(): part.get_payload() for part in message.walk() if not part.is_multipart()}


class Server:
    """One guest. Its processes are recognized by their HOME."""

    def __init__(self, home: Path, aws: Aws) -> None:
        self.home, self.aws = home, aws
        self.prefix = names.out_prefix(RUN, 1, ROLE, aws.instance)
        self.console = home / "console"
        self.job = home / "job"
        self.control = home / ".dayfly" / "control"
        self.agent_zip = build_agent_zip(PACKAGE, home).path.read_bytes()
        shims = home / "shims"
        shims.mkdir(parents=True)
        shim = shims / "shutdown"
        shim.write_text(f'#!/bin/sh\necho "$@" >>{home}/shutdown\n')
        shim.chmod(0o755)
        (shims / "python3").symlink_to(sys.executable)
        self.environ = {
            "HOME": str(home),
            "PATH": f"{shims}:/usr/bin:/bin",
            "INSTANCE_ID": aws.instance,
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.url + "/meta",
        }
        aws.tags.update({names.TAG_BUCKET: "b", names.TAG_ROLE: ROLE, names.TAG_LIFETIME: "900"})

    def go(self, command: str | list[str], **changes: Any) -> None:
        """Write go.json as the launcher does. `changes`: other values of its fields."""
        go: dict[str, Any] = {
            "format": 1,
            "run": str(RUN),
            "job": RUN.job,
            "tick": names.utc_text(RUN.tick),
            "day": "2026-11-25",
            "attempt": 1,
            "region": "eu-west-1",
            "command": command,
            "env": {},
            "setup": None,
            "time_limit_s": 60,
            "outputs": [],
            "prefix": self.prefix,
            "deadline": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 900)),
            "bundle": None,
            **changes,
        }
        if "agent" not in changes:
            go["agent"] = self.link("agents/x.zip", self.agent_zip)
        self.aws.put(names.go_key(ROLE, self.aws.instance), json.dumps(go).encode())
        self.control.mkdir(parents=True, exist_ok=True)
        # `agent` renames it to start.json.
        (self.control / "given.json").write_text(json.dumps({"bucket": "b", "region": REGION, "go": go}))

    def link(self, key: str, archive: bytes, **changes: Any) -> dict[str, Any]:
        """Store a file and return its entry in go.json."""
        self.aws.put(key, archive)
        url = f"{self.aws.url}/b/{key}?X-Amz-Signature=1"
        return {"url": url, "sha256": hashlib.sha256(archive).hexdigest(), "size": len(archive), **changes}

    def bundle(self, archive: bytes, **changes: Any) -> dict[str, Any]:
        return self.link("bundles/x.zip", archive, **changes)

    def boot(self) -> None:
        """Run the user data as a guest does: the boothook, then the script."""
        for kind in ("text/cloud-boothook", "text/x-shellscript"):
            path = self.home / kind.replace("/", "-")
            path.write_text(scripts(user_data())[kind])
            path.chmod(0o755)
            with self.console.open("ab") as out:
                subprocess.run(
                    [str(path)], env=self.environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL, timeout=20
                )

    def first_stage(self, go_wait: float = 600.0, patience: float = 120.0) -> subprocess.Popen[bytes]:
        """Start the first stage alone, without the switch, with shorter limits."""
        call = f"first_stage.run({str(self.control)!r}, 'guest', os.environ, {go_wait}, {patience})"
        return self._python(f"from dayfly.remote.boot import first_stage; {call}")

    def agent(self, grace: float = 1.0, within: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start the agent alone with the go.json of the last `go`, with a shorter grace; `within`: a command to start it through."""
        (self.control / "given.json").rename(self.control / "start.json")
        call = f"main.run({str(self.control)!r}, 'guest', os.environ, {grace})"
        return self._python(f"from dayfly.remote.agent import main; {call}", within)

    def _python(self, code: str, within: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Run code with the agent's zip alone on the path."""
        folder = self.home / "package"
        with zipfile.ZipFile(io.BytesIO(self.agent_zip)) as archive:
            archive.extractall(folder)
        code = f"import os, sys; sys.path.insert(0, {str(folder)!r}); {code}"
        with self.console.open("ab") as out:
            return subprocess.Popen(
                [*within, sys.executable, "-I", "-S", "-c", code],
                env=self.environ,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def wait_off(self, seconds: float = 30.0) -> str:
        """Wait until the server powers off; return its console."""
        until = time.monotonic() + seconds
        asked = self.home / "shutdown"
        while not (asked.exists() and asked.read_text().endswith("\n")):
            assert time.monotonic() < until, f"still on after {seconds} s:\n{self.console_text()}"
            time.sleep(0.02)
        assert asked.read_text().startswith("-h now\n")
        return self.console_text()

    def console_text(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def ended(self, seconds: float = 30.0) -> dict[str, Any]:
        """Wait until the server powers off; return ended.json."""
        console = self.wait_off(seconds)
        assert self.prefix + "ended.json" in self.aws.objects, console
        assert not self.aws.wrong
        found: dict[str, Any] = json.loads(self.aws.read(self.prefix + "ended.json"))
        return found

    def log(self) -> bytes:
        return b"".join(self.aws.read(key) for key in self.aws.keys(self.prefix + "log/"))

    def processes(self, mark: str = "") -> list[int]:
        """Return the guest's living processes whose environment has an entry that starts with `mark`."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environ = (folder / "environ").read_bytes().split(b"\0")
                state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            mine = f"HOME={self.home}".encode() in environ
            if mine and state != "Z" and any(entry.startswith(mark.encode()) for entry in environ):
                found.append(int(folder.name))
        return found

    def end(self) -> None:
        while left := self.processes():
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.02)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    (tmp_path / "s3").mkdir()
    cloud = Aws(tmp_path / "s3")
    yield cloud
    cloud.close()


@pytest.fixture
def server(tmp_path: Path, aws: Aws) -> Iterator[Server]:
    guest = Server(tmp_path / "home", aws)
    yield guest
    guest.end()
