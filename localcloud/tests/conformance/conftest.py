"""One local cloud for all rows; a real account only on request."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# pytest then shows the compared values of a row that fails.
pytest.register_assert_rewrite(*(path.stem for path in Path(__file__).parent.glob("*_rows.py")))

import asking  # noqa: E402
from targets import Aws  # noqa: E402

# Read at import: during a test the AWS variables of the environment are removed.
ACCOUNT = os.environ.get("LOCALCLOUD_TEST_AWS_ACCOUNT", "")
ASKED = os.environ.get("LOCALCLOUD_TEST_AWS") == "1" and bool(re.fullmatch(r"\d{12}", ACCOUNT))


@pytest.fixture(scope="session")
def localcloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running local cloud."""
    state: Path = tmp_path_factory.mktemp("conformance") / "state"
    with asking.local_cloud(state) as target:
        yield target


@pytest.fixture(scope="session")
def aws() -> Iterator[Any]:
    """The named account; the credentials in the environment must belong to it."""
    if not ASKED:
        pytest.skip(
            "set LOCALCLOUD_TEST_AWS=1 and LOCALCLOUD_TEST_AWS_ACCOUNT=123456789012 to ask a real account; "
            "it costs some cents: t3.nano servers, a minute each"
        )
    target = Aws(ACCOUNT)
    yield target
    target.close()
