"""The meaning of the options of shutdown, poweroff, halt and reboot in a guest."""

import time

import pytest

from localcloud.guests.init import power_request

NOON = time.strptime("2026-11-24 12:00:00", "%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("shutdown -h now", ("poweroff", 0)),
        ("shutdown now", ("poweroff", 0)),
        ("shutdown -P +0 bye", ("poweroff", 0)),
        ("shutdown", ("poweroff", 60)),
        ("shutdown -P +90", ("poweroff", 5400)),
        ("shutdown -P 12:30", ("poweroff", 1800)),
        ("shutdown 11:59", ("poweroff", 86340)),
        ("shutdown -r now", ("reboot", 0)),
        ("shutdown -H now", ("halt", 0)),
        ("shutdown -c", ("cancel", 0)),
        ("shutdown -k now", (None, 0)),
        ("poweroff", ("poweroff", 0)),
        ("poweroff -f", ("poweroff", 0)),
        ("reboot", ("reboot", 0)),
        ("reboot -p", ("poweroff", 0)),
        ("halt", ("halt", 0)),
        ("halt -p", ("poweroff", 0)),
        ("halt --poweroff", ("poweroff", 0)),
        ("poweroff -w", (None, 0)),
        ("", (None, 0)),
    ],
)
def test_power_command_has_its_usual_meaning(line: str, asked: tuple[str | None, float]) -> None:
    assert power_request(line.split(), NOON) == asked
