"""Run the acceptance trial on a local cloud, and check what it left there. No test lives here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from acceptance import leftovers
from acceptance.target import Target, on_this_machine

ACCOUNT = "000000000000"
REGION = "eu-west-1"
TRIAL = [sys.executable, "-m", "acceptance", "--account", ACCOUNT]


@dataclass
class LocalTrial:
    """A folder with a local cloud, and the trial on it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        found = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        return {**os.environ, "PYTHONPATH": found.rstrip(os.pathsep)}

    def start(self, *words: str, account: str = ACCOUNT) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*TRIAL[:-1], account, "--local", str(self.folder), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, account: str = ACCOUNT) -> tuple[int, str, str]:
        process = self.start(*words, account=account)
        out, err = process.communicate(timeout=400)
        return process.returncode, out, err

    def left(self, name: str | None = None) -> list[leftovers.Leftover]:
        return leftovers.found(self.target(), name)

    def conditions(self, **values: Any) -> None:
        """Set conditions of the local cloud's EC2, such as the account's plan."""
        self.control("ec2/conditions", values)

    def control(self, path: str, said: Any) -> None:
        """Call a control of the local cloud."""
        url = f"{self.target().endpoint}/_localcloud/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=json.dumps(said).encode(), method="POST")):
            pass

    def target(self, region: str = REGION) -> Target:
        return on_this_machine(self.folder, ACCOUNT, region)

    def client(self, service: str) -> Any:
        return self.target().client(service)


def kill_at(trial: LocalTrial, words: str) -> str:
    """Start a trial, kill it (SIGKILL) as soon as it prints a line that starts with `words`, and return the trial's name."""
    process = trial.start()
    assert process.stderr is not None
    name = ""
    try:
        for line in process.stderr:
            if line.startswith("trial "):
                name = line.split()[1]
            if line.startswith(words):
                return name
        pytest.fail(f"the trial never printed {words!r}")
    finally:
        process.kill()
        process.wait(timeout=30)
        process.stderr.close()
        assert process.stdout is not None
        process.stdout.close()


def check_nothing_left(trial: LocalTrial) -> None:
    """Check with plain calls to AWS, not with the code of `--clean`."""
    shown = trial.client("ec2").describe_instances()["Reservations"]
    servers = [one for group in shown for one in group["Instances"] if one["State"]["Name"] != "terminated"]
    assert servers == []
    assert trial.client("ec2").describe_launch_templates()["LaunchTemplates"] == []
    assert [one for one in trial.client("s3").list_buckets()["Buckets"] if "accept-" in one["Name"]] == []
    assert [one for one in trial.client("iam").list_roles()["Roles"] if "accept-" in one["RoleName"]] == []
    assert trial.client("iam").list_instance_profiles()["InstanceProfiles"] == []
    stacks = trial.client("cloudformation").describe_stacks()["Stacks"]
    assert [one["StackName"] for one in stacks if one["StackStatus"] != "DELETE_COMPLETE"] == []
    groups = trial.client("scheduler").list_schedule_groups()["ScheduleGroups"]
    assert [one["Name"] for one in groups if "accept-" in one["Name"]] == []
