"""Stacks in every state: what fails in them, what each state accepts, and where a template may be read from."""

import json
import time
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

import rows
from stack_rows import QUEUE, create, wait
from targets import REGION, Target, allow, error_code

GUIDE = "CloudFormation User Guide, "
STATES = GUIDE + "Stack status codes; Choose how to handle failures when provisioning resources"
# AWS writes it as two words.
NOT = "can\x20not"
LOCAL = "AWS cannot be made to fail a resource"

row = partial(rows.row, "cloudformation")


def fail(target: Target, logical_id: str, operation: str, **more: int) -> None:
    """Let operations on a resource fail; no failure is left after the row."""
    control: Any = target
    control.control("cloudformation/failures", {"logical_id": logical_id, "operation": operation} | more)
    target.undo_after_row(control.control, path="cloudformation/failures", method="DELETE")


def state(target: Target, name: str) -> str:
    """Return a stack's state once no operation is under way."""
    stacks = target.client("cloudformation")

    def settled() -> str:
        found = str(stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        return "" if found.endswith("_IN_PROGRESS") else found

    return str(target.wait_for(settled, f"the end of {name}"))


def begin(target: Target, resources: dict[str, Any]) -> str:
    """Begin to create a stack and return its name."""
    stacks, name = target.client("cloudformation"), target.name_for("stack")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    target.undo_after_row(stacks.delete_stack, StackName=name)
    return name


def refused(target: Target, action: str, name: str, **more: Any) -> str:
    """Return the code and message with which an action on a stack is refused; "" when it is not."""
    try:
        getattr(target.client("cloudformation"), action)(StackName=name, **more)
    except ClientError as error:
        return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    return ""


def body(*names: str) -> str:
    """Return a template of queues."""
    return json.dumps({"Resources": dict.fromkeys(names, QUEUE)})


@row("A stack in ROLLBACK_COMPLETE can only be deleted: no update, no change set, no new stack of its name", STATES)
def rollback_complete(target: Target) -> None:
    data = {"InstanceType": "t3.nano", "UserData": "x" * 30000}
    bad = {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}}
    name = begin(target, {"Bad": bad})
    assert state(target, name) == "ROLLBACK_COMPLETE"
    arn = target.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    said = f"ValidationError: Stack:{arn} is in ROLLBACK_COMPLETE state and {NOT} be updated."
    assert refused(target, "update_stack", name, TemplateBody=body("Good")) == said
    assert refused(target, "create_change_set", name, ChangeSetName="more", TemplateBody=body("Good")) == said
    again = refused(target, "create_stack", name, TemplateBody=body("Good"))
    assert again.startswith("AlreadyExistsException")
    target.client("cloudformation").delete_stack(StackName=name)
    wait(target, name, "stack_delete_complete")


@row(
    "A rollback that cannot delete a resource ends in ROLLBACK_FAILED; deleting the stack then deletes that resource",
    STATES, not_on_aws=LOCAL,
)  # fmt: skip
def rollback_failed(target: Target) -> None:
    queue = target.name_for("queue")
    fail(target, "Second", "create")
    fail(target, "First", "delete")
    first = QUEUE | {"Properties": {"QueueName": queue}}
    name = begin(target, {"First": first, "Second": QUEUE | {"DependsOn": "First"}})
    assert state(target, name) == "ROLLBACK_FAILED"
    assert f"state and {NOT} be updated" in refused(target, "update_stack", name, TemplateBody=body("Good"))
    assert target.client("sqs").list_queues(QueueNamePrefix=queue).get("QueueUrls")
    target.client("cloudformation").delete_stack(StackName=name)
    wait(target, name, "stack_delete_complete")
    assert not target.client("sqs").list_queues(QueueNamePrefix=queue).get("QueueUrls")


@row(
    "A deletion that fails ends in DELETE_FAILED; only then RetainResources is taken, and leaves the resource there",
    GUIDE + "Delete stack fails; CloudFormation API Reference, DeleteStack, RetainResources", not_on_aws=LOCAL,
)  # fmt: skip
def delete_failed(target: Target) -> None:
    queue = target.name_for("queue")
    name, _ = create(target, {"Kept": QUEUE | {"Properties": {"QueueName": queue}}, "Other": QUEUE})
    assert "DELETE_FAILED" in refused(target, "delete_stack", name, RetainResources=["Kept"])
    fail(target, "Kept", "delete", count=2)
    stacks = target.client("cloudformation")
    stacks.delete_stack(StackName=name)
    assert state(target, name) == "DELETE_FAILED"
    left = stacks.describe_stack_resources(StackName=name)["StackResources"]
    states = {one["LogicalResourceId"]: one["ResourceStatus"] for one in left}
    assert states["Kept"] == "DELETE_FAILED"
    assert f"{NOT} be updated" in refused(target, "update_stack", name, TemplateBody=body("Good"))
    stacks.delete_stack(StackName=name)
    assert state(target, name) == "DELETE_FAILED"
    stacks.delete_stack(StackName=name, RetainResources=["Kept"])
    wait(target, name, "stack_delete_complete")
    (url,) = target.client("sqs").list_queues(QueueNamePrefix=queue)["QueueUrls"]
    target.undo_after_row(target.client("sqs").delete_queue, QueueUrl=url)


@row(
    "An update whose rollback fails ends in UPDATE_ROLLBACK_FAILED; ContinueUpdateRollback brings it back",
    GUIDE + "Continue rolling back an update", not_on_aws=LOCAL,
)  # fmt: skip
def update_rollback_failed(target: Target) -> None:
    name, _ = create(target, {"First": QUEUE, "Second": QUEUE | {"DependsOn": "First"}})
    slower = QUEUE | {"Properties": {"VisibilityTimeout": 77}}
    changed = {"First": slower, "Second": slower | {"DependsOn": "First"}}
    stacks = target.client("cloudformation")
    # The update of the first queue succeeds, sending it back does not.
    fail(target, "First", "update", skip=1)
    fail(target, "Second", "update")
    stacks.update_stack(StackName=name, TemplateBody=json.dumps({"Resources": changed}))
    assert state(target, name) == "UPDATE_ROLLBACK_FAILED"
    assert f"{NOT} be updated" in refused(target, "update_stack", name, TemplateBody=body("First"))
    stacks.continue_update_rollback(StackName=name)
    assert state(target, name) == "UPDATE_ROLLBACK_COMPLETE"


@row(
    "A template is at most 51,200 bytes in a request and 1 MB at a URL: ValidationError",
    GUIDE + "Understand CloudFormation quotas",
)
def template_sizes(target: Target) -> None:
    stacks, bucket, key = target.client("cloudformation"), target.bucket(), f"{target.name_for('template')}.json"

    def padded(size: int) -> str:
        text = json.dumps({"Description": "", "Resources": {"Queue": QUEUE}})
        return text + " " * (size - len(text))

    nothing = "No updates are to be performed"
    name, _ = create(target, {"Queue": QUEUE})
    code = refused(target, "update_stack", name, TemplateBody=padded(51_201))
    assert code.startswith("ValidationError")
    assert nothing not in code
    url = f"https://{bucket}.s3.{REGION}.amazonaws.com/{key}"
    target.client("s3").put_object(Bucket=bucket, Key=key, Body=padded(51_201).encode())
    assert stacks.validate_template(TemplateURL=url)["Description"] == ""
    target.client("s3").put_object(Bucket=bucket, Key=key, Body=padded(1_000_001).encode())
    assert error_code(stacks.validate_template, TemplateURL=url) == "ValidationError"


TEMPLATE_URL = (
    "CloudFormation API Reference, CreateStack, TemplateURL; CloudFormation User Guide, Identity-based policies"
)


@row(
    "A template at an S3 URL is read with the caller's rights, by the bucket's host or by the region's and the bucket's path",
    TEMPLATE_URL,
    unverified="The words of the refusal.",
)
def template_urls(target: Target) -> None:
    s3, bucket, key = target.client("s3"), target.bucket(), f"{target.name_for('template')}.json"
    s3.put_object(Bucket=bucket, Key=key, Body=body("Queue").encode())
    urls = [
        f"https://{bucket}.s3.{REGION}.amazonaws.com/{key}",
        f"https://{bucket}.s3.amazonaws.com/{key}",
        f"https://s3.{REGION}.amazonaws.com/{bucket}/{key}",
    ]
    if target.endpoint:
        urls.append(f"{target.endpoint}/{bucket}/{key}")
    where = f"arn:aws:s3:::{bucket}/{key}"
    reads = target.session(allow("cloudformation:*"), allow("s3:GetObject", where))
    without = target.session(allow("cloudformation:*"))
    readers = target.client("cloudformation", keys=reads)
    others = target.client("cloudformation", keys=without)
    for url in urls:
        target.retried(lambda url=url: readers.validate_template(TemplateURL=url))
        assert error_code(others.validate_template, TemplateURL=url) == "ValidationError", url
    absent = urls[0] + "-none"
    assert error_code(target.client("cloudformation").validate_template, TemplateURL=absent) == "ValidationError"


@row(
    "A template URL that is signed is refused, even one that its signer could read",
    TEMPLATE_URL,
    unverified="That it holds today; public reports differ.",
)
def signed_template_urls(target: Target) -> None:
    s3, bucket, key = target.client("s3"), target.bucket(), f"{target.name_for('template')}.json"
    s3.put_object(Bucket=bucket, Key=key, Body=body("Queue").encode())
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=600)
    assert error_code(target.client("cloudformation").validate_template, TemplateURL=link) == "ValidationError"
    elsewhere = "https://example.com/template.json"
    assert error_code(target.client("cloudformation").validate_template, TemplateURL=elsewhere) == "ValidationError"


@rows.row(
    "s3",
    "A bucket made again right after its deletion may be OperationAborted for a while",
    "S3 API Reference, Error responses, OperationAborted",
    not_on_aws="AWS says neither when nor how long",
)
def deleted_bucket_names(target: Target) -> None:
    control: Any = target
    control.control("s3/bucket-names", {"seconds": 0.5})
    target.undo_after_row(control.control, path="s3/bucket-names", method="DELETE")
    s3, name = target.client("s3"), target.name_for("again")
    s3.create_bucket(Bucket=name)
    s3.delete_bucket(Bucket=name)
    assert error_code(s3.create_bucket, Bucket=name) == "OperationAborted"
    other = target.name_for("other")
    assert error_code(s3.create_bucket, Bucket=other) == ""
    target.undo_after_row(s3.delete_bucket, Bucket=other)
    time.sleep(0.6)
    assert error_code(s3.create_bucket, Bucket=name) == ""
    target.undo_after_row(s3.delete_bucket, Bucket=name)
