"""Files out of the bucket: what a record may not name."""

from __future__ import annotations

import pytest

from dayfly.cloud import results
from dayfly.cloud.clients import Aws
from dayfly.core.records import Output
from dayfly.errors import LeftError

NOWHERE = Aws(region="eu-west-1", endpoint="http://127.0.0.1:9", keys=("AKIA0", "secret"))


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "out/../../evil", "", "a\0b"])
def test_a_path_that_leads_out_of_the_folder_is_refused_before_anything_is_asked_or_written(tmp_path, path):
    output = Output(path=path, key="k", size=1, sha256="00")
    with pytest.raises(LeftError, match="outside its folder"):
        results.fetch(NOWHERE, "bucket", [output], tmp_path / "to")
    assert list(tmp_path.iterdir()) == []


def test_an_object_of_another_run_is_refused(tmp_path):
    output = Output(path="a.txt", key="out/other/2026-11-24T22:41:00Z/1/R:i-1/output/a.txt", size=1, sha256="00")
    with pytest.raises(LeftError, match="not its own"):
        results.fetch(NOWHERE, "bucket", [output], tmp_path / "to", prefix="out/pi/")
    assert list(tmp_path.iterdir()) == []
