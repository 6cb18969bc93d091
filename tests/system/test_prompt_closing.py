"""A scheduled run is closed by EC2's event: the sweeper's schedule is disabled, so nothing else can close it."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dayfly.core import names
from system.conftest import Folder
from system.projects import BUCKET, project

pytestmark = [pytest.mark.cloud, pytest.mark.slow]

LIMIT_S = 10
"""A run's outcome is stored at most this long after its server is gone."""
NAME = "prompt"


class Watched:
    """The objects of the project's bucket as this test sees them appear."""

    def __init__(self, cloud: Folder) -> None:
        self.s3 = cloud.client("s3")
        self.bucket = BUCKET.format(NAME)

    def stored(self) -> dict[str, datetime]:
        """Return when each object was stored, by its key."""
        found = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {each["Key"]: each["LastModified"] for each in found}

    def json(self, key: str) -> dict[str, Any] | None:
        try:
            return json.load(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def until(self, what: str, seconds: float = 100) -> Any:
        """Wait until an object is there, by its last name, and return it with its key."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for key in self.stored():
                if key.endswith(what):
                    return key, self.json(key) if key.endswith(".json") else None
            time.sleep(0.1)
        raise AssertionError(f"no {what} after {seconds} s")


def disable_sweeps(cloud: Folder) -> None:
    scheduler = cloud.client("scheduler")
    group = names.stack(NAME)
    found = scheduler.get_schedule(Name="dayfly-sweeper", GroupName=group)
    kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    scheduler.update_schedule(**{key: found[key] for key in kept}, State="DISABLED")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """A local cloud with a job of each minute and no sweeps."""
    cloud = Folder(tmp_path_factory.mktemp("prompt"))
    assert cloud.dayfly("local", "up").returncode == 0
    cloud.write(project(NAME, "echo done >out.txt", schedule="rate(1 minute)", outputs=["out.txt"]))
    done = cloud.dayfly("deploy", "--local", "--yes")
    assert done.returncode == 0, done.stderr
    disable_sweeps(cloud)
    yield cloud
    cloud.dayfly("local", "down")


def test_scheduled_run_is_closed_seconds_after_its_server_is_gone(deployed):
    watched = Watched(deployed)
    key, closed = watched.until("/closed.json")
    run = names.run_name("{1}@{2}".format(*key.split("/")))
    assert closed["by"] == "sweeper"
    assert closed["outcome"] == "succeeded"
    done, _ = watched.until(f"{names.utc_text(run.tick)}~hello~1~succeeded")
    _, receipt = watched.until(f"{names.utc_text(run.tick)}/1/receipt.json")
    # EC2 gives no time of a power-off from inside, but its event does; both are whole seconds.
    gone = datetime.fromisoformat(closed["gone"])
    assert receipt["times"]["server_gone"] == closed["gone"]
    assert (watched.stored()[done] - gone).total_seconds() <= LIMIT_S
    assert watched.json("latest/hello.json")["run"] >= str(run)
    beat = watched.json(names.HEARTBEAT)  # The first sweep may have come before its schedule was disabled.
    assert beat is None or datetime.fromisoformat(beat["at"]) < run.tick

    (row,) = [row for row in deployed.json("runs", "--local")["runs"] if row["run"] == str(run)]
    assert row["outcome"] == "succeeded"
    shown = deployed.dayfly("show", str(run), "--local").stdout
    assert " gone " in shown
    assert "at most" not in shown


def test_events_of_other_servers_and_other_events_change_nothing(deployed):
    functions = deployed.client("lambda")

    def tell(event: Any) -> dict[str, Any]:
        answer = functions.invoke(FunctionName=names.sweeper_function(NAME), Payload=json.dumps(event).encode())
        return {"error": answer.get("FunctionError"), **json.load(answer["Payload"])}

    event = {
        "source": "aws.ec2",
        "detail-type": "EC2 Instance State-change Notification",
        "time": "2026-11-24T22:41:00Z",
        "detail": {"instance-id": "i-0123456789abcdef0", "state": "terminated"},
    }
    answer = tell(event)
    assert (answer["error"], answer["run"], answer["ended"]) == (None, "", "")
    answer = tell({**event, "time": "now"})
    assert (answer["error"], answer["errorType"]) == ("Unhandled", "FileError")
