"""SNS: subscriptions of topics by e-mail and https, and what a stack makes of them."""

import json
from functools import partial

import rows
from named_rows import taken
from stack_rows import create
from targets import REGION, Target, error_code

SUBSCRIBE = "SNS API Reference, Subscribe"

row = partial(rows.row, "events")


def subscriptions(target: Target, topic: str) -> dict[str, str]:
    """Return the ARN of each of a topic's subscriptions by its endpoint."""
    found = target.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return {one["Endpoint"]: one["SubscriptionArn"] for one in found}


@row("A subscription by e-mail or https is PendingConfirmation until its owner confirms", SUBSCRIBE)
def pending_subscriptions(target: Target) -> None:
    sns = target.client("sns")
    topic = sns.create_topic(Name=target.name_for("topic"))["TopicArn"]
    target.undo_after_row(sns.delete_topic, TopicArn=topic)
    mail = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="anna@example.com")["SubscriptionArn"]
    assert mail.replace(" ", "").lower() == "pendingconfirmation"
    assert subscriptions(target, topic) == {"anna@example.com": "PendingConfirmation"}
    sns.publish(TopicArn=topic, Message="nobody has confirmed yet")
    assert error_code(sns.confirm_subscription, TopicArn=topic, Token="0" * 40).startswith("InvalidParameter")


@row(
    "A subscription to a topic that does not exist fails its stack",
    "SNS API Reference, Subscribe, Errors, NotFound",
)
def subscriptions_to_no_topic(target: Target) -> None:
    arn = f"arn:aws:sns:{REGION}:{target.account}:conf-no-such-topic"
    properties = {"TopicArn": arn, "Protocol": "email", "Endpoint": "anna@example.com"}
    assert "does not exist" in taken(target, "AWS::SNS::Subscription", properties)


@row(
    "A stack can subscribe an e-mail address to its topic and does not wait for the confirmation",
    "CloudFormation Template Reference, AWS::SNS::Subscription",
)
def subscriptions_of_a_stack(target: Target) -> None:
    resources = {
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Mail": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": "anna@example.com"},
        },
    }
    name, said = create(target, resources, {"Topic": {"Ref": "Topic"}})
    assert subscriptions(target, said["Topic"]) == {"anna@example.com": "PendingConfirmation"}
    resources["Mail"]["Properties"]["Endpoint"] = "bob@example.com"
    stacks = target.client("cloudformation")
    body = {"Resources": resources, "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}}}
    stacks.update_stack(StackName=name, TemplateBody=json.dumps(body))
    stacks.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert "bob@example.com" in subscriptions(target, said["Topic"])
    stacks.delete_stack(StackName=name)
    stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
