"""The article's own template of 2019 with its default parameters: what AWS refuses of it today, and how it runs after that."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from system.article import ArticleSystem, until

pytestmark = pytest.mark.cloud

ORIGINAL = Path(__file__).parent / "original"
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
ENDED = "The runtime parameter of python3.7 is no longer supported for creating or updating AWS Lambda functions."
DEPLOY = """
aws cloudformation package --template-file original/template.yaml --s3-bucket "$ARTIFACTS" --output-template-file packaged.yaml
aws cloudformation deploy --template-file packaged.yaml --stack-name "$STACK" --capabilities CAPABILITY_IAM \
  --parameter-overrides ImageIdParam=$(aws ssm get-parameter --name {image} --query Parameter.Value --output text) {more}
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A cloud with the article's folder; nothing is deployed."""
    started = ArticleSystem(tmp_path_factory.mktemp("original") / "article")
    started.up()
    shutil.copytree(ORIGINAL, started.home / "original")
    started.shell('aws s3 mb "s3://$ARTIFACTS"')
    yield started
    started.down()


def deploy(system, more="|| true"):
    return system.shell(DEPLOY.format(image=IMAGE, more=more))


def test_runtime_of_2019_is_refused_in_words_of_aws(system):
    deploy(system)
    stacks = system.client("cloudformation")
    [stack] = stacks.describe_stacks(StackName=system.stack)["Stacks"]
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    events = stacks.describe_stack_events(StackName=system.stack)["StackEvents"]
    failed = {
        one["LogicalResourceId"]: one["ResourceStatusReason"]
        for one in events
        if one["ResourceStatus"] == "CREATE_FAILED"
    }
    assert list(failed) == ["ProvisionFunction"]
    assert ENDED in failed["ProvisionFunction"]
    system.shell('aws cloudformation delete-stack --stack-name "$STACK"')
    system.shell('aws cloudformation wait stack-delete-complete --stack-name "$STACK"')


def test_default_parameters_run_a_transient_t2_micro(system):
    template = system.home / "original" / "template.yaml"
    template.write_text(template.read_text().replace("python3.7", "python3.13"))
    deploy(system, more="")
    server = system.invoke({})["instance"]
    ec2 = system.client("ec2")

    def shown():
        return ec2.describe_instances(InstanceIds=[server])["Reservations"][0]["Instances"][0]

    until(lambda: shown()["State"]["Name"] == "terminated", 60, lambda: system.console(server))
    assert shown()["InstanceType"] == "t2.micro"
    assert shown()["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    # A stock image lacks the program that the article's Packer build installs.
    assert "pie: command not found" in system.console(server)


def test_schedule_is_that_of_the_article(system):
    rules = system.client("events").list_rules()["Rules"]
    assert [one["ScheduleExpression"] for one in rules] == ["cron(0 23 * * ? *)"]


def test_literal_resource_of_the_article_matches_nothing(system):
    iam, role = system.client("iam"), system.resource("ProvisionFunctionRole")
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    statements = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
    literal = [one["Resource"] for one in statements if one["Action"] == "ec2:AssociateIamInstanceProfile"]
    assert literal == ["arn:aws:ec2:region:account:instance/*"]
    source = f"arn:aws:iam::{system.client('sts').get_caller_identity()['Account']}:role/{role}"
    instance = "arn:aws:ec2:us-east-1:000000000000:instance/i-1"

    def decision(action):
        found = iam.simulate_principal_policy(PolicySourceArn=source, ActionNames=[action], ResourceArns=[instance])
        return [one["EvalDecision"] for one in found["EvaluationResults"]]

    assert decision("ec2:AssociateIamInstanceProfile") == ["implicitDeny"]
    assert decision("ec2:RunInstances") == ["allowed"]
