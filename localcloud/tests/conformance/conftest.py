"""One local cloud and one moto server for all rows; a real account only when it is asked for."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# So that a row that fails says with what values.
pytest.register_assert_rewrite(*(path.stem for path in Path(__file__).parent.glob("*_rows.py")))

import asking  # noqa: E402
from targets import Aws  # noqa: E402

# Taken now: no variable of the environment is left while a test runs.
ACCOUNT = os.environ.get("DAYFLY_TEST_AWS_ACCOUNT", "")
ASKED = os.environ.get("DAYFLY_TEST_AWS") == "1" and bool(re.fullmatch(r"\d{12}", ACCOUNT))


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
    """The account that was named; the environment's credentials must be of it."""
    if not ASKED:
        pytest.skip(
            "a real account is asked only with DAYFLY_TEST_AWS=1 and DAYFLY_TEST_AWS_ACCOUNT=123456789012, by "
            "-m aws tests/conformance/test_conformance.py; it costs some cents for servers of t3.nano, a minute each"
        )
    target = Aws(ACCOUNT)
    yield target
    target.close()
