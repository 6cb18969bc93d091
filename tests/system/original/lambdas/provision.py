"""The article's launcher, written anew from its description: one RunInstances for each event, and nothing else."""

import logging
import os

import boto3

DURATION, BUCKET = os.environ.get("DURATION"), os.environ.get("BUCKET")
USER_DATA = f"#!/bin/bash\npie {DURATION} {BUCKET}\nshutdown -h now\n"

ec2 = boto3.client("ec2")
log = logging.getLogger("provision")
log.setLevel(logging.INFO)


def handler(event, context):  # noqa: ARG001
    """Launch one server and return its id."""
    answer = ec2.run_instances(
        ImageId=os.environ["IMAGE_ID"],
        InstanceType=os.environ["INSTANCE_TYPE"],
        IamInstanceProfile={"Arn": os.environ["INSTANCE_PROFILE"]},
        UserData=USER_DATA,
        InstanceInitiatedShutdownBehavior="terminate",
        MinCount=1,
        MaxCount=1,
    )
    instance = answer["Instances"][0]["InstanceId"]
    log.info("Run instance success id=%s", instance)
    return {"instance": instance}
