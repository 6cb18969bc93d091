"""User data is constant, small, readable, and has the two parts that cloud-init runs."""

from __future__ import annotations

import email
import gzip
from pathlib import Path

import pytest

from dayfly.project.stack import user_data

BOOT = Path(__file__).parents[2] / "src" / "dayfly" / "remote" / "boot"
BOOTHOOK = (BOOT / "boothook.sh").read_text()
MODULES = {path.name: path.read_text() for path in BOOT.glob("*.py")}


def test_user_data_is_constant_and_at_most_10_kib() -> None:
    sent = user_data.build(BOOTHOOK, MODULES)
    assert len(sent) <= 10 * 1024
    assert sent == user_data.build(BOOTHOOK, dict(reversed(MODULES.items())))
    assert sent[4:8] == b"\0\0\0\0"  # no time in the gzip header


def test_boothook_comes_before_the_script() -> None:
    message = email.message_from_bytes(gzip.decompress(user_data.build(BOOTHOOK, MODULES)))
    parts = [part for part in message.walk() if not part.is_multipart()]
    assert [part.get_content_type() for part in parts] == ["text/cloud-boothook", "text/x-shellscript"]
    assert all(part.get_payload().startswith("#!/bin/sh\n") for part in parts)


def test_modules_are_sent_as_they_are() -> None:
    text = gzip.decompress(user_data.build(BOOTHOOK, MODULES)).decode()
    assert all(module in text for module in MODULES.values())


def test_user_data_that_is_too_long_is_refused() -> None:
    noise = "\n".join(f"x{n} = {hash((n, 'noise'))}" for n in range(2000)) + "\n"
    with pytest.raises(ValueError, match="the limit is 10240"):
        user_data.build(BOOTHOOK, {**MODULES, "noise.py": noise})


@pytest.mark.parametrize("boothook", ["#!/bin/sh\n", "#!/bin/sh\n#modules#\n#modules#\n"])
def test_boothook_needs_exactly_one_placeholder(boothook: str) -> None:
    with pytest.raises(ValueError, match="#modules#"):
        user_data.build(boothook, MODULES)


def test_file_name_that_is_not_a_module_is_refused() -> None:
    with pytest.raises(ValueError, match="not the file name of a module"):
        user_data.build(BOOTHOOK, {"../x.py": ""})


@pytest.mark.parametrize("text", ["x = 1", "dayfly-module-end\n", "--dayfly-part\n", "x = 'é'\n"])
def test_module_that_cannot_be_sent_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        user_data.build(BOOTHOOK, {"x.py": text})
