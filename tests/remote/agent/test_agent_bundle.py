"""The bundle on the server: downloaded, verified, unpacked, first in PATH."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest

from remote.agent.conftest import Server


def archive(*entries: tuple[str, int, bytes]) -> bytes:
    """Return a zip of entries (name, mode with file type, content)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, mode, content in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, content)
    return out.getvalue()


GOOD = archive(
    ("bin/hello", stat.S_IFREG | 0o755, b"#!/usr/bin/env python3\nimport greet, lib\nprint(greet.WORD, lib.WORD)\n"),
    (".dayfly/bin/tool", stat.S_IFREG | 0o755, b"#!/bin/sh\necho tool\n"),
    (".dayfly/site/greet.py", stat.S_IFREG | 0o644, b"WORD = 'hello'\n"),
    (".dayfly/site/lib.py", stat.S_IFREG | 0o644, b"WORD = 'world'\n"),
    ("data/secret", stat.S_IFREG | 0o600, b"x"),
    ("link", stat.S_IFLNK | 0o777, b"data/secret"),
    ("empty/", stat.S_IFDIR | 0o755, b""),
)


def test_bundle_is_unpacked_with_modes_and_links(server: Server) -> None:
    server.go(
        "hello; tool; stat -c '%a %n' data/secret bin/hello; readlink link; ls -d empty", bundle=server.bundle(GOOD)
    )
    server.agent()
    ended = server.ended()
    assert ended["outcome"] == "succeeded", server.log()
    assert server.log() == b"hello world\ntool\n600 data/secret\n755 bin/hello\ndata/secret\nempty\n"


def test_dependencies_are_not_outputs(server: Server) -> None:
    server.go("true", bundle=server.bundle(GOOD), outputs=["**"])
    server.agent()
    ended = server.ended()
    assert [output["path"] for output in ended["outputs"]] == ["bin/hello", "data/secret", "link"]


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": 10}, {"size": len(GOOD) + 1}])
def test_bundle_with_wrong_hash_or_size_is_not_run(server: Server, change: dict[str, object]) -> None:
    server.go("echo never", bundle=server.bundle(GOOD, **change))
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"], ended["job_started"]) == ("failed", "setup", None)
    assert "bundle is not the deployed one" in ended["detail"]
    assert not (server.job / "bin").exists()


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", "a\\b"])
def test_bundle_path_outside_the_folder_is_refused(server: Server, name: str) -> None:
    server.go("echo never", bundle=server.bundle(archive((name, stat.S_IFREG | 0o644, b"x"))))
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "setup")
    assert "outside the folder" in ended["detail"]
    assert not (server.home / "x").exists()


def test_bundle_cannot_write_through_its_own_link(server: Server) -> None:
    bad = archive(("d", stat.S_IFLNK | 0o777, str(server.home).encode()), ("d/x", stat.S_IFREG | 0o644, b"x"))
    server.go("echo never", bundle=server.bundle(bad))
    server.agent()
    assert server.ended()["outcome"] == "failed"
    assert not (server.home / "x").exists()


def test_failed_bundle_download_is_retried(server: Server) -> None:
    server.aws.fault = lambda _method, path, before: 503 if "bundles" in path and before == 0 else None
    server.go("hello", bundle=server.bundle(GOOD))
    server.agent()
    assert server.ended()["outcome"] == "succeeded"
