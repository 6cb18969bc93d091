"""The article's whole system on a vm guest; test_article_system.py tests its parts and permissions on process guests."""

from pathlib import Path

import pytest

from system.article import run_once

pytestmark = [pytest.mark.vm, pytest.mark.cloud, pytest.mark.slow]


def test_article_system_runs_on_a_vm_guest_and_is_removed(tmp_path: Path) -> None:
    run_once(tmp_path / "article", "vm", 900)
