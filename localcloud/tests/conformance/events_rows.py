"""The default event bus: events from EC2, and rules."""

import json
from functools import partial
from typing import Any

import rows
from targets import REGION, Target

STATES = "EC2 User Guide, State change events for your instances"
NOTICES = "EC2 User Guide, Spot Instance interruption notices"

row = partial(rows.row, "events")


def listening(target: Target, rate: str = "", **pattern: Any) -> str:
    """Make a queue that a rule with this pattern, or this rate, sends to; return its URL."""
    url, arn = target.queue()
    sqs, events, name = target.client("sqs"), target.client("events"), target.name_for("rule")
    when = {"ScheduleExpression": rate} if rate else {"EventPattern": json.dumps(pattern)}
    made = events.put_rule(Name=name, **when)["RuleArn"]
    target.undo_after_row(events.delete_rule, Name=name)
    statement = {
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": made}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    target.undo_after_row(events.remove_targets, Rule=name, Ids=["queue"])
    return url


def next_event(target: Target, url: str) -> dict[str, Any]:
    """Return the next event of a queue."""
    found = target.message(url)
    assert found is not None, "no event came"
    event: dict[str, Any] = json.loads(found["Body"])
    return event


@row(
    "Each state change of an instance is an event, in order, from pending to terminated",
    STATES,
    not_on_aws="AWS promises neither order nor delivery",
)
def state_changes(target: Target) -> None:
    kind = "EC2 Instance State-change Notification"
    url = listening(target, source=["aws.ec2"], **{"detail-type": [kind]})
    (server,) = target.launch()
    target.wait_for_state(server, "running")
    target.client("ec2").terminate_instances(InstanceIds=[server])
    seen = []
    while "terminated" not in seen:
        event = next_event(target, url)
        if event["detail"]["instance-id"] == server:
            seen.append(event["detail"]["state"])
            assert event["resources"] == [f"arn:aws:ec2:{REGION}:{target.account}:instance/{server}"]
            assert (event["account"], event["region"]) == (target.account, REGION)
    assert seen == ["pending", "running", "shutting-down", "terminated"]


@row("A rule matches only events that fit its pattern", "EventBridge User Guide, Creating event patterns")
def patterns(target: Target) -> None:
    url = listening(target, source=["conformance"], detail={"job": [{"prefix": "pi"}]})
    values = [
        {"Source": "conformance", "DetailType": "tick", "Detail": json.dumps({"job": job})} for job in ("other", "pi-1")
    ]
    answer = target.client("events").put_events(Entries=values)
    assert answer["FailedEntryCount"] == 0
    assert next_event(target, url)["detail"] == {"job": "pi-1"}
    assert target.message(url, 0.5) is None


@row(
    "Only AWS can send events with a source aws.*",
    "EventBridge API Reference, PutEventsResultEntry, NotAuthorizedForSourceException",
)
def reserved_sources(target: Target) -> None:
    entry = {"Source": "aws.ec2", "DetailType": "tick", "Detail": "{}"}
    (answer,) = target.client("events").put_events(Entries=[entry])["Entries"]
    assert answer["ErrorCode"] == "NotAuthorizedForSourceException"


@row("A spot notice is an event whose resource ARN has the zone", NOTICES, not_on_aws="only AWS can send the notice")
def spot_notices(target: Any) -> None:
    url = listening(target, **{"detail-type": ["EC2 Spot Instance Interruption Warning"]})
    (server,) = target.launch(InstanceMarketOptions={"MarketType": "spot"})
    zone = target.wait_for_state(server, "running")["Placement"]["AvailabilityZone"]
    target.control("ec2/interrupt", {"instance": server})
    event = next_event(target, url)
    assert event["detail"] == {"instance-id": server, "instance-action": "terminate"}
    assert event["resources"] == [f"arn:aws:ec2:{zone}:instance/{server}"]


@row(
    "A rebalance recommendation is an event",
    "EC2 User Guide, EC2 instance rebalance recommendations",
    not_on_aws="only AWS can send it",
)
def rebalance_recommendations(target: Any) -> None:
    url = listening(target, **{"detail-type": ["EC2 Instance Rebalance Recommendation"]})
    (server,) = target.launch(InstanceMarketOptions={"MarketType": "spot"})
    target.wait_for_state(server, "running")
    target.control("ec2/rebalance", {"instance": server})
    event = next_event(target, url)
    assert event["detail"] == {"instance-id": server}
    assert event["resources"] == [f"arn:aws:ec2:{REGION}:{target.account}:instance/{server}"]


@row(
    "A rule with a rate fires once in each interval",
    "EventBridge User Guide, Creating a rule that runs on a schedule",
)
def rules_with_a_rate(target: Any) -> None:
    url = listening(target, rate="rate(1 minute)")
    seen = set()
    for _ in range(3):
        target.let_pass(61)
        event = next_event(target, url)
        seen.add(event["id"])
        assert (event["source"], event["detail-type"], event["detail"]) == ("aws.events", "Scheduled Event", {})
        assert event["resources"][0].startswith(f"arn:aws:events:{REGION}:{target.account}:rule/")
    assert len(seen) == 3
