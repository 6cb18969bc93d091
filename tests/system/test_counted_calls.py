"""The requests that the real functions send to a local cloud stay within the limits."""

from __future__ import annotations

import pytest

from system.calls import count

pytestmark = [pytest.mark.cloud, pytest.mark.slow]


def test_launch_and_visit_send_few_requests(own_folder):
    assert own_folder.dayfly("local", "up").returncode == 0
    counted = count(own_folder)
    assert counted.broken() == [], "\n".join(counted.lines())
