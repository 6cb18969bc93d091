"""Launch requests: which pools they name, in which order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from dayfly.core import names, request
from dayfly.core.model import Deployed, Pool
from dayfly.core.record_json import decode, encode
from dayfly.core.records import Intent
from dayfly.core.versions import read_version, write_version
from model.cloud import BUCKET, PROJECT, version

NOW = datetime(2026, 11, 24, 22, 41, tzinfo=UTC)
RUN = names.RunName("pi", NOW)
POOLS = (
    Pool(type="c8g.large", subnet="subnet-2"),
    Pool(type="c7g.large", subnet="subnet-1"),
    Pool(type="c7g.large", subnet="subnet-2"),
)


def intent(one: Deployed) -> Intent:
    return request.intent(RUN, 1, one, PROJECT, BUCKET, NOW, "r")


def overrides(one: Deployed, market: str = "spot") -> list[tuple[str, str, float]]:
    [configuration] = intent(one).requests[market]["LaunchTemplateConfigs"]
    return [(each["InstanceType"], each["SubnetId"], each["Priority"]) for each in configuration["Overrides"]]


def with_pools() -> Deployed:
    one = version()
    return replace(one, launch=replace(one.launch, pools=POOLS))


def test_request_names_only_pools_that_exist():
    assert overrides(with_pools()) == [
        ("c8g.large", "subnet-2", 0.0),
        ("c7g.large", "subnet-1", 1.0),
        ("c7g.large", "subnet-2", 1.0),
    ]


def test_version_without_pools_names_every_type_in_every_subnet():
    found = overrides(version())
    assert [(kind, subnet) for kind, subnet, _ in found] == [
        (kind, subnet) for kind in ("c8g.large", "c7g.large") for subnet in ("subnet-1", "subnet-2")
    ]


def test_servers_are_an_order_of_preference_in_both_markets():
    requests = intent(with_pools()).requests
    assert requests["on-demand"]["OnDemandOptions"]["AllocationStrategy"] == "prioritized"
    assert requests["spot"]["SpotOptions"]["AllocationStrategy"] == "capacity-optimized-prioritized"
    assert overrides(with_pools(), "on-demand") == overrides(with_pools())


def test_stored_request_is_sent_as_stored():
    found = intent(with_pools())
    assert decode(Intent, encode(found)).requests == found.requests


def test_version_with_pools_survives_storage_and_one_without_keeps_its_key():
    one = with_pools()
    assert read_version(write_version(one)) == one
    assert one.key != version().key
    old = write_version(version()).replace(b'"pools": [], ', b"")
    assert b"pools" not in old
    assert read_version(old).key == version().key
