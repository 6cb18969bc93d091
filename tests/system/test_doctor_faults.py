"""Each planted fault of an account is found by `dayfly doctor`, and what it prints repairs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from system.conftest import Folder
from system.doctor_faults import AFTER, BEFORE, results, sick_cloud

pytestmark = [pytest.mark.cloud, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with sick_cloud(tmp_path) as folder:
        yield folder


def test_each_fault_is_found_and_its_remedy_works(folder: Folder):
    found = list(results(folder))
    assert [result.shown(0) for result in found if not result.is_good] == []
    assert len(found) == len(BEFORE) + len(AFTER) >= 10
