"""Small projects for the tests of this folder, and the name of a project's bucket on the local cloud."""

from __future__ import annotations

import json

BUCKET = "dayfly-{}-000000000000-eu-west-1"


def project(name: str, command: str, **keys: object) -> str:
    lines = [f"{key} = {toml(value)}" for key, value in {"servers": ["c8g.large"], **keys}.items()]
    return f'project = "{name}"\nregions = ["eu-west-1"]\n[jobs.hello]\ncommand = {json.dumps(command)}\n' + "\n".join(
        lines
    )


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def run(cloud, *options: str, code: int = 0, timeout: float = 120):
    return cloud.json("run", "hello", "--local", "--wait", *options, code=code, timeout=timeout)
