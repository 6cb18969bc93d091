"""Each documented behaviour, asked of the local cloud and of moto: the table that docs/conformance.md shows is true."""

import os
from typing import Any

import pytest
from rows import NOT_KNOWN, ask
from table import all_rows
from targets import require

ROWS = all_rows()
# One test each only for who asks: nobody wants to read two hundred times that they were skipped.
ASKED_OF_AWS = [pytest.param(one, id=one.name) for one in ROWS if not one.unasked]
BY_NAME = [pytest.param(one, id=one.name) for one in ROWS]
ASKED_OF_MOTO = [pytest.param(one, id=one.name) for one in ROWS if one.expected("moto") != NOT_KNOWN]


@pytest.mark.cloud
@pytest.mark.parametrize("one", BY_NAME)
def test_the_local_cloud_does_as_aws_says(localcloud: Any, one: Any) -> None:
    try:
        one.check(localcloud)
    finally:
        localcloud.tidy()


@pytest.mark.parametrize("one", ASKED_OF_MOTO)
def test_moto_differs_only_where_the_table_says_so(moto: Any, one: Any) -> None:
    found = ask(one, moto)
    assert found.outcome == one.expected("moto"), found.detail or f"it no longer differs: {one.differs}"
    assert one.shows in found.detail, f"it differs by something else than that {one.differs}"


def test_each_difference_of_moto_is_told_from_any_other_failure() -> None:
    assert [one.name for one in ROWS if bool(one.differs) != bool(one.shows)] == []


@pytest.mark.cloud
def test_credentials_of_another_account_than_the_one_named_are_refused(localcloud: Any) -> None:
    require(localcloud, "000000000000")
    with pytest.raises(PermissionError, match="of account 000000000000, not 123456789012: nothing was asked"):
        require(localcloud, "123456789012")


@pytest.mark.aws
@pytest.mark.parametrize("one", ASKED_OF_AWS if os.environ.get("DAYFLY_TEST_AWS") == "1" else ASKED_OF_AWS[:1])
def test_a_real_account_does_as_the_table_says(aws: Any, one: Any) -> None:
    try:
        one.check(aws)
    finally:
        aws.tidy()
