"""Asks each row of the local cloud, and of a real account on request. They keep the table in docs/conformance.md true."""

import os
from typing import Any

import pytest

from table import all_rows
from targets import require

ROWS = all_rows()
BY_NAME = [pytest.param(one, id=one.name) for one in ROWS]
ON_AWS = [pytest.param(one, id=one.name) for one in ROWS if not one.not_on_aws]
if os.environ.get("LOCALCLOUD_TEST_AWS") != "1":
    # One skipped test in the report, not two hundred.
    ON_AWS = ON_AWS[:1]


@pytest.mark.cloud
@pytest.mark.parametrize("one", BY_NAME)
def test_localcloud_does_what_aws_documents(localcloud: Any, one: Any) -> None:
    try:
        one.check(localcloud)
    finally:
        localcloud.clean_up()


@pytest.mark.cloud
def test_credentials_of_another_account_are_refused(localcloud: Any) -> None:
    require(localcloud, "000000000000")
    with pytest.raises(PermissionError, match="credentials belong to account 000000000000, not to 123456789012"):
        require(localcloud, "123456789012")


@pytest.mark.aws
@pytest.mark.parametrize("one", ON_AWS)
def test_real_account_does_what_aws_documents(aws: Any, one: Any) -> None:
    try:
        one.check(aws)
    finally:
        aws.clean_up()
