"""Subscriptions by e-mail: they wait for a confirmation, and what SNS would mail is kept."""

import json

import pytest

from running_cloud import Running

pytestmark = pytest.mark.cloud


def test_confirmed_address_gets_each_message(cloud: Running) -> None:
    sns = cloud.client("sns")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    for address in ("anna@example.com", "bob@example.com"):
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=address)
    sns.publish(TopicArn=topic, Subject="early", Message="nobody has confirmed")
    asked = {one["to"]: one["token"] for one in cloud.control("sns/mails", method="GET")["mails"]}
    assert set(asked) == {"anna@example.com", "bob@example.com"}

    arn = sns.confirm_subscription(TopicArn=topic, Token=asked["anna@example.com"])["SubscriptionArn"]
    assert arn.startswith(topic)
    again = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="anna@example.com")["SubscriptionArn"]
    assert again == arn
    cloud.control("sns/mails", method="DELETE")
    sns.publish(TopicArn=topic, Subject="failed: ingest", Message="exit 3")
    [mail] = cloud.control("sns/mails", method="GET")["mails"]
    assert mail == {
        "topic": topic,
        "to": "anna@example.com",
        "subject": "failed: ingest",
        "message": "exit 3",
        "token": "",
    }
    cloud.control("sns/mails", method="DELETE")


def test_address_of_a_stack_is_asked_once(cloud: Running) -> None:
    cfn = cloud.client("cloudformation")
    mail = {"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": "carol@example.com"}
    resources = {
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Mail": {"Type": "AWS::SNS::Subscription", "Properties": mail},
    }
    cfn.create_stack(StackName="mailing", TemplateBody=json.dumps({"Resources": resources}))
    cfn.get_waiter("stack_create_complete").wait(StackName="mailing", WaiterConfig={"Delay": 1})
    mails = cloud.control("sns/mails", method="GET")["mails"]
    assert [one["to"] for one in mails] == ["carol@example.com"]
    assert mails[0]["token"]
    cloud.control("sns/mails", method="DELETE")
