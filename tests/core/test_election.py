"""What EC2's answers mean for the election of an attempt."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dayfly.core import election, refusals
from dayfly.core.facts import Server
from dayfly.core.reasons import Cause
from dayfly.core.record_json import decode_election, encode
from dayfly.core.records import FleetError, Intent, NoServer, SpotRefused
from dayfly.core.step import AskEc2

NOW = datetime(2026, 11, 24, 22, 41, tzinfo=UTC)
FULL = FleetError(code="InsufficientInstanceCapacity", message="", pool="c8g.large eu-west-1a")
QUOTA = FleetError(code="VcpuLimitExceeded", message="")


def asked(market: str, markets: tuple[str, ...], spot_errors: tuple[FleetError, ...] = ()) -> AskEc2:
    intent = Intent(
        attempt=1,
        version="jobs/pi/1",
        at=NOW,
        launch=NOW,
        launch_until=NOW,
        deadline=NOW,
        time_limit_s=1,
        margin_s=1,
        markets=markets,
        requests={market: {} for market in markets},
        role_id="AROA",
    )
    return AskEc2(intent=intent, market=market, spot_errors=spot_errors, reason="", attempt=1)


def test_refused_spot_leaves_on_demand_to_be_asked():
    record = election.after_refusal(asked("spot", ("spot", "on-demand")), (FULL,), NOW)
    assert record == SpotRefused(at=NOW, errors=(FULL,))


@pytest.mark.parametrize(
    ("market", "markets"), [("on-demand", ("spot", "on-demand")), ("spot", ("spot",)), ("on-demand", ("on-demand",))]
)
def test_refusal_of_the_last_market_elects_no_server(market, markets):
    record = election.after_refusal(asked(market, markets), (FULL,), NOW)
    assert isinstance(record, NoServer)
    assert record.cause == Cause.REFUSED


def test_last_market_gives_the_reason_and_the_detail_names_both():
    record = election.after_refusal(asked("on-demand", ("spot", "on-demand"), (FULL,)), (QUOTA,), NOW)
    assert record.reason == "quota"
    assert record.detail == "c8g.large eu-west-1a: InsufficientInstanceCapacity; VcpuLimitExceeded"
    assert record.errors == (FULL, QUOTA)


@pytest.mark.parametrize(("cause", "reason"), [(Cause.CANCELLED, "cancelled"), (Cause.UNANSWERED, "unknown")])
def test_cause_gives_the_reason(cause, reason):
    assert election.elect_none(cause, (), NOW).reason == reason


def test_both_kinds_of_election_survive_storage():
    server = Server(id="i-1", state="pending", launched=NOW, type="", zone="", market="spot", image="", tags={})
    for record in (
        election.elect(server, asked("spot", ("spot",)).intent, NOW),
        election.elect_none(Cause.UNANSWERED, (FULL,), NOW),
    ):
        assert decode_election(encode(record)) == record


def test_what_ec2_does_not_say_is_none():
    server = Server(id="i-1", state="pending", launched=NOW, type="", zone="", market="spot", image="", tags={})
    assert election.elect(server, asked("spot", ("spot",)).intent, NOW).zone is None


@pytest.mark.parametrize(
    "code", ["InvalidLaunchTemplateId.Malformed", "InvalidBlockDeviceMapping", "InvalidSubnetID.NotFound"]
)
def test_request_that_ec2_calls_wrong_is_not_a_lack_of_capacity(code):
    assert refusals.reason((FleetError(code=code, message=""),)) == "unknown"


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("SsmAccessDenied", "", "no-rights"),
        ("InvalidFleetConfiguration", "", "not-offered"),
        ("MaxFleetCountExceeded", "", "quota"),
        ("InvalidParameterCombination", "The specified instance type is not eligible for Free Tier.", "free-plan"),
        ("InvalidParameterCombination", "The parameter x is not recognized.", "unknown"),
    ],
)
def test_refusal_of_a_fresh_account_has_a_reason(code, message, reason):
    assert refusals.reason((FleetError(code=code, message=message),)) == reason


def test_what_ec2_said_is_one_line_for_pools_that_said_the_same():
    said = "We do not have sufficient {} capacity in the zone you requested."
    full = [
        FleetError(code=FULL.code, message=said.format(kind), pool=f"spot {kind} eu-west-1a")
        for kind in ("c8g.large", "c7g.large")
    ]
    quota = FleetError(code="VcpuLimitExceeded", message="You have requested more vCPU capacity.")
    assert refusals.lines((*full, quota)) == (
        f"spot c8g.large eu-west-1a, spot c7g.large eu-west-1a: {FULL.code}: {said.format('c8g.large')}",
        "VcpuLimitExceeded: You have requested more vCPU capacity.",
    )


def test_two_permissions_that_are_missing_are_both_named():
    errors = [FleetError(code="UnauthorizedOperation", message=f"ec2:{one} is denied") for one in ("Run", "Tag")]
    assert len(refusals.lines(errors)) == 2


def test_many_pools_are_counted():
    errors = [FleetError(code=FULL.code, message="none", pool=f"spot c8g.large subnet-{n}") for n in range(9)]
    assert refusals.text(errors).endswith("spot c8g.large subnet-5 and 3 more: InsufficientInstanceCapacity: none")


def override(kind: str, subnet: str) -> dict[str, str]:
    return {"InstanceType": kind, "SubnetId": subnet}


def said(code: str, kind: str, subnet: str = "subnet-1") -> FleetError:
    return FleetError(code=code, message="", pool=f"spot {kind}", type=kind, subnet=subnet)


ALL = tuple(override(kind, "subnet-1") for kind in ("c8g.large", "c7g.large", "c6g.large"))


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "VcpuLimitExceeded", "InvalidFleetConfiguration"])
def test_pools_that_ec2_did_not_try_are_left(code):
    errors = (said(code, "c8g.large"), said("UnfulfillableCapacity", "c7g.large"))
    assert refusals.to_ask_again(ALL, errors) == ALL[1:], "also one of which it says nothing"


@pytest.mark.parametrize(
    "errors",
    [
        (),
        (FULL,),
        (said("UnauthorizedOperation", "c8g.large"),),
        tuple(said("UnfulfillableCapacity", one["InstanceType"]) for one in ALL),
        tuple(said("InsufficientInstanceCapacity", one["InstanceType"]) for one in ALL),
        (FleetError(code="IdempotentCallInProgress", message=""),),
    ],
    ids=["none", "no pool named", "no right", "none tried", "all tried", "in progress"],
)
def test_nothing_is_asked_again_when_it_can_bring_nothing(errors):
    assert refusals.to_ask_again(ALL, errors) == ()
