"""The default event bus: events from EC2, and rules."""

import json
import re
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import rows
from lambda_rows import ECHO, function
from targets import REGION, Target

STATES = "EC2 User Guide, State change events for your instances"
STATE_CHANGE = "EC2 Instance State-change Notification"
DEAD_LETTERS = "EventBridge User Guide, Using dead-letter queues to process undelivered events"
NOTICES = "EC2 User Guide, Spot Instance interruption notices"

row = partial(rows.row, "events")


def listening(target: Target, rate: str = "", **pattern: Any) -> str:
    """Make a queue that a rule with this pattern, or this rate, sends to; return its URL."""
    url, arn = target.queue()
    events, name = target.client("events"), target.name_for("rule")
    when = {"ScheduleExpression": rate} if rate else {"EventPattern": json.dumps(pattern)}
    made = events.put_rule(Name=name, **when)["RuleArn"]
    target.undo_after_row(events.delete_rule, Name=name)
    allow_rule(target, url, arn, made)
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    target.undo_after_row(events.remove_targets, Rule=name, Ids=["queue"])
    return url


def allow_rule(target: Target, url: str, queue: str, rule: str) -> None:
    """Let a rule send to a queue, by the queue's policy."""
    statement = {
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": queue, "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    target.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


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
    url = listening(target, source=["aws.ec2"], **{"detail-type": [STATE_CHANGE]})
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


@row("An event of a state change has the documented fields, and when it happened", STATES)
def fields_of_a_state_change(target: Target) -> None:
    url = listening(target, source=["aws.ec2"], **{"detail-type": [STATE_CHANGE], "detail": {"state": ["terminated"]}})
    (server,) = target.launch()
    target.wait_for_state(server, "running")
    target.client("ec2").terminate_instances(InstanceIds=[server])
    event = target.wait_for(lambda: event_of(target, url, server), "the event")
    assert set(event) == {
        "version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail",
    }  # fmt: skip
    assert (event["version"], event["detail"]) == ("0", {"instance-id": server, "state": "terminated"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["time"])
    launched = target.describe(server)["LaunchTime"]
    assert launched <= datetime.fromisoformat(event["time"]) <= launched + timedelta(minutes=10)


def event_of(target: Target, url: str, server: str) -> dict[str, Any] | None:
    """Return the next event of a queue, if it is about this instance."""
    found = target.message(url)
    event: dict[str, Any] = json.loads(found["Body"]) if found else {}
    return event if event.get("detail", {}).get("instance-id") == server else None


@row("A rule that matches one state gets no event of another", "EventBridge User Guide, Creating event patterns")
def states_of_a_rule(target: Target) -> None:
    url = listening(target, source=["aws.ec2"], **{"detail-type": [STATE_CHANGE], "detail": {"state": ["stopped"]}})
    (server,) = target.launch()
    target.wait_for_state(server, "running")
    target.client("ec2").stop_instances(InstanceIds=[server])
    target.wait_for_state(server, "stopped")
    target.client("ec2").terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")
    event = target.wait_for(lambda: event_of(target, url, server), "the event")
    assert event["detail"]["state"] == "stopped"
    assert event_of(target, url, server) is None


@row("An event that a rule may not deliver to a function goes to the target's dead-letter queue", DEAD_LETTERS)
def events_without_permission(target: Target) -> None:
    events, name = target.client("events"), target.name_for("rule")
    source = name.lower()
    arn = function(target, ECHO)
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    target.undo_after_row(events.delete_rule, Name=name)
    (open_url, open_queue), (shut_url, shut_queue) = target.queue(), target.queue()
    allow_rule(target, open_url, open_queue, rule)
    targets = [
        {"Id": "open", "Arn": arn, "DeadLetterConfig": {"Arn": open_queue}},
        {"Id": "shut", "Arn": arn, "DeadLetterConfig": {"Arn": shut_queue}},
    ]
    events.put_targets(Rule=name, Targets=targets)
    target.undo_after_row(events.remove_targets, Rule=name, Ids=["open", "shut"])
    entry = {"Source": source, "DetailType": "tick", "Detail": json.dumps({"job": "pi"})}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    letter = target.wait_for(lambda: target.message(open_url), "the dead letter")
    assert json.loads(letter["Body"])["detail"] == {"job": "pi"}
    values = {key: value["StringValue"] for key, value in letter["MessageAttributes"].items()}
    assert (values["RULE_ARN"], values["TARGET_ARN"], values["ERROR_CODE"]) == (rule, arn, "NO_PERMISSIONS")
    assert target.message(shut_url, 0.5) is None, "a queue whose policy does not let the rule gets nothing"


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
