"""The article's system, whole, on a server that is a machine; its parts and rights are tested in tests/article on processes."""

from pathlib import Path

import pytest

from system.outside import lives_once

pytestmark = [pytest.mark.vm, pytest.mark.cloud, pytest.mark.slow]


def test_the_articles_system_computes_on_a_machine_and_is_removed(tmp_path: Path) -> None:
    lives_once(tmp_path / "article", "vm", 900)
