"""User data read as cloud-init reads it; what a process guest cannot run is refused with a word about it."""

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


def test_a_lone_script_is_one_part() -> None:
    (part,) = parse_user_data(SCRIPT_TEXT.encode())
    assert (part.kind, part.content) == (SCRIPT, SCRIPT_TEXT.encode())


def test_nothing_is_no_part() -> None:
    assert parse_user_data(b"") == []
    assert parse_user_data(b" \n") == []


def test_a_message_holds_boothooks_and_scripts_in_its_order() -> None:
    found = parse_user_data(message(("x-shellscript", SCRIPT_TEXT, "job.py"), ("cloud-boothook", HOOK, "")))
    assert [(part.kind, part.name) for part in found] == [(SCRIPT, "job.py"), (BOOTHOOK, "part-002")]
    assert found[1].content == HOOK.encode()


def test_gzip_is_unpacked_around_the_whole_and_around_a_part() -> None:
    packed = gzip.compress(message(("cloud-boothook", HOOK, "hook")))
    assert [part.kind for part in parse_user_data(packed)] == [BOOTHOOK]
    from email.mime.application import MIMEApplication

    whole = MIMEMultipart()
    whole.attach(MIMEApplication(gzip.compress(SCRIPT_TEXT.encode()), "gzip"))
    assert parse_user_data(whole.as_bytes())[0].content == SCRIPT_TEXT.encode()


def test_a_plain_part_is_taken_for_what_its_first_line_says() -> None:
    assert parse_user_data(message(("plain", SCRIPT_TEXT, "")))[0].kind == SCRIPT


def test_a_script_with_windows_line_ends_in_its_first_line_is_mended() -> None:
    assert parse_user_data(b"#!/bin/sh\r\necho\n")[0].content == b"#!/bin/sh\necho\n"


def test_a_file_name_cannot_leave_its_folder() -> None:
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
def test_what_needs_cloud_init_is_refused_by_name(data: bytes, word: str) -> None:
    with pytest.raises(UnsupportedUserData, match=word):
        parse_user_data(data)


def test_a_bomb_is_refused_before_it_is_unpacked_whole() -> None:
    with pytest.raises(UnsupportedUserData, match="more than"):
        parse_user_data(gzip.compress(b"#" * (20 * 1024 * 1024)))
