"""User data is parsed as cloud-init parses it; what a process guest cannot run is refused by name."""

import gzip
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from localcloud.guests.userdata import BOOTHOOK, SCRIPT, UnsupportedUserData, parse_user_data

HOOK = "#!/bin/sh\necho hook\n"
SCRIPT_TEXT = "#!/usr/bin/env python3\nprint('job')\n"


def message(*parts: tuple[str, str, str]) -> bytes:
    whole = MIMEMultipart()
    for kind, text, name in parts:
        part = MIMEText(text, kind)
        if name:
            part.add_header("Content-Disposition", "attachment", filename=name)
        whole.attach(part)
    return whole.as_bytes()


def test_single_script_is_one_part() -> None:
    (part,) = parse_user_data(SCRIPT_TEXT.encode())
    assert (part.kind, part.content) == (SCRIPT, SCRIPT_TEXT.encode())


def test_empty_user_data_has_no_parts() -> None:
    assert parse_user_data(b"") == []
    assert parse_user_data(b" \n") == []


def test_mime_message_keeps_the_order_of_its_parts() -> None:
    found = parse_user_data(message(("x-shellscript", SCRIPT_TEXT, "job.py"), ("cloud-boothook", HOOK, "")))
    assert [(part.kind, part.name) for part in found] == [(SCRIPT, "job.py"), (BOOTHOOK, "part-002")]
    assert found[1].content == HOOK.encode()


def test_gzip_is_unpacked_at_both_levels() -> None:
    packed = gzip.compress(message(("cloud-boothook", HOOK, "hook")))
    assert [part.kind for part in parse_user_data(packed)] == [BOOTHOOK]
    from email.mime.application import MIMEApplication

    whole = MIMEMultipart()
    whole.attach(MIMEApplication(gzip.compress(SCRIPT_TEXT.encode()), "gzip"))
    assert parse_user_data(whole.as_bytes())[0].content == SCRIPT_TEXT.encode()


def test_plain_part_is_recognized_by_its_first_line() -> None:
    assert parse_user_data(message(("plain", SCRIPT_TEXT, "")))[0].kind == SCRIPT


def test_windows_line_end_in_first_line_is_fixed() -> None:
    assert parse_user_data(b"#!/bin/sh\r\necho\n")[0].content == b"#!/bin/sh\necho\n"


def test_file_name_cannot_leave_its_directory() -> None:
    (part,) = parse_user_data(message(("x-shellscript", SCRIPT_TEXT, "../../etc/cron.d/x")))
    assert "/" not in part.name
    assert not part.name.startswith(".")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"#cloud-config\npackages: [jq]\n", "text/cloud-config"),
        (b"#include\nhttp://x/\n", "text/x-include-url"),
        (b"echo no interpreter\n", "echo"),
        (message(("cloud-config", "packages: [jq]", "")), "text/cloud-config"),
        (b"\x1f\x8bnot gzip", "gzip"),
        (gzip.compress(SCRIPT_TEXT.encode(), mtime=0)[:-4], "gzip"),
    ],
)
def test_cloud_init_content_is_refused_by_name(data: bytes, word: str) -> None:
    with pytest.raises(UnsupportedUserData, match=word):
        parse_user_data(data)


def test_decompression_bomb_is_refused_early() -> None:
    with pytest.raises(UnsupportedUserData, match="more than"):
        parse_user_data(gzip.compress(b"#" * (20 * 1024 * 1024)))
