"""Job versions as JSON: what an earlier deploy wrote stays readable under its key."""

from __future__ import annotations

import json
from dataclasses import replace

from dayfly.core.model import Agent
from dayfly.core.versions import read_version, write_version
from model.cloud import version

WITHOUT_AGENT = replace(version(), agent=None)


def test_version_survives_its_json():
    assert read_version(write_version(version())) == version()


def test_version_from_before_the_agent_travelled_keeps_its_key():
    content = json.loads(write_version(WITHOUT_AGENT))
    del content["agent"]
    found = read_version(json.dumps(content).encode())
    assert found == WITHOUT_AGENT
    assert found.key == "jobs/pi/8204439969~2026-11-24T22:40:30Z~b9fc8b2d66d71ee2.json"


def test_version_from_before_permissions_keeps_its_key():
    content = json.loads(write_version(version()))
    for name in ("reads", "writes", "secrets", "policy"):
        del content["job"][name]
    del content["launch"]["job_role"]
    found = read_version(json.dumps(content).encode())
    assert found == version()
    assert found.key == "jobs/pi/8204439969~2026-11-24T22:40:30Z~fcbe3cc61a24968b.json"


def test_version_with_permissions_survives_its_json():
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "athena:GetDatabase", "Resource": "*"}],
    }
    one = version(reads=("job:pi",), writes=("s3://a-b/",), secrets={"A": "ssm:/a"}, policy=policy)
    assert read_version(write_version(one)) == one
    assert one.digest != version().digest


def test_another_agent_is_another_version():
    other = replace(version(), agent=Agent(key="agents/other.zip", sha256="other", size=5))
    assert other.digest != version().digest != WITHOUT_AGENT.digest
