"""Small projects for the tests of this folder, and the name of a project's bucket on the local cloud."""

from __future__ import annotations

import json
from typing import Any

from system.conftest import Folder

BUCKET = "dayfly-{}-000000000000-eu-west-1"

# Kills every process of dayfly on the server, the switch first, and sleeps on.
HUNG = (
    "for p in /proc/[0-9]*; do n=${p#/proc/}; [ $n != 1 ] && [ $n != $$ ] "
    "&& grep -qa '/.dayfly/control' $p/cmdline && kill -KILL $n; done; sleep 600"
)


def project(name: str, command: str, **keys: object) -> str:
    """Return a dayfly.toml with one job, `hello`, that runs the command; `keys` are more keys of the job."""
    head = ["[jobs.hello]", f"command = {json.dumps(command)}"]
    rows = [f"{key} = {toml(value)}" for key, value in {"servers": ["c8g.large"], **keys}.items()]
    return "\n".join([f'project = "{name}"', 'regions = ["eu-west-1"]', *head, *rows])


def toml(value: object) -> str:
    """Return a value as TOML: an inline table, or what JSON and TOML write alike."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def run(cloud: Folder, *options: str, code: int = 0, timeout: float = 120) -> dict[str, Any]:
    """Run the job `hello` to its end and return the document; the exit code must be `code`."""
    return cloud.json("run", "hello", "--local", "--wait", *options, code=code, timeout=timeout)


def state(cloud: Folder, server: str) -> str:
    """Return the state of a server as EC2 shows it."""
    [group] = cloud.client("ec2").describe_instances(InstanceIds=[server])["Reservations"]
    found: str = group["Instances"][0]["State"]["Name"]
    return found
