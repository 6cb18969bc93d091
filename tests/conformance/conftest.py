"""One local cloud and one moto server for all rows; a real account only when it is asked for."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# So that a row that fails says with what values.
pytest.register_assert_rewrite(*(path.stem for path in Path(__file__).parent.glob("*_rows.py")))

import asking  # noqa: E402
from targets import Aws  # noqa: E402


@pytest.fixture(scope="session")
def localcloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running local cloud."""
    state: Path = tmp_path_factory.mktemp("conformance") / "state"
    with asking.local_cloud(state) as target:
        yield target


@pytest.fixture(scope="session")
def moto() -> Iterator[Any]:
    """A moto server."""
    with asking.moto_server() as target:
        yield target


@pytest.fixture(scope="session")
def aws() -> Iterator[Any]:
    """The account of the environment's credentials."""
    if os.environ.get("DAYFLY_TEST_AWS") != "1":
        pytest.skip("a real account is asked only with DAYFLY_TEST_AWS=1")
    target = Aws()
    yield target
    target.close()
