"""Counts the requests that launcher and sweeper send to AWS: their real handlers, in this process, against a local cloud.

    PYTHONPATH=tests python -m system.calls     what `make calls` runs

Every request on the wire is counted, repeated ones too. Exits 1 if there are more than the limits allow.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from dayfly.core import names
from dayfly.remote import environment, launcher, sweeper
from system.conftest import Folder
from system.projects import BUCKET

NAME = "calls"
RUNS = 10
FIRST_DELIVERY, BEFORE_CREATE_FLEET, VISIT = 15, 8, 4
"""The most requests of a first delivery that meets nobody, of its part before CreateFleet, and of a visit with nothing to do."""
PROJECT = f"""project = "{NAME}"
regions = ["eu-west-1"]
[jobs.short]
command = "echo hello"
servers = ["c8g.large"]
schedule = ["* * * * *"]
[jobs.long]
command = "sleep 900"
servers = ["c8g.large"]
overlap = "allow"
"""


@dataclass
class Counted:
    """The requests of each part, in order, by the names of their operations."""

    parts: dict[str, list[str]] = field(default_factory=dict)

    @property
    def before_create_fleet(self) -> int:
        return self.parts["first delivery"].index("CreateFleet")

    @property
    def visit(self) -> float:
        """Requests per open run in a sweep that finds nothing to do."""
        return (len(self.parts[f"sweep, {RUNS} open runs"]) - len(self.parts["sweep, no open run"])) / RUNS

    def broken(self) -> list[str]:
        """Return each limit that does not hold."""
        measured = (
            ("requests of a first delivery", len(self.parts["first delivery"]), FIRST_DELIVERY),
            ("of them before CreateFleet", self.before_create_fleet, BEFORE_CREATE_FLEET),
            ("requests of a visit with nothing to do", self.visit, VISIT),
        )
        return [f"{what}: {count:g}, at most {most} allowed" for what, count, most in measured if count > most]

    def lines(self) -> Iterator[str]:
        """Yield what `make calls` prints."""
        for part, operations in self.parts.items():
            yield f"{part}: {len(operations)} requests"
            for operation, count in Counter(operations).most_common():
                yield f"  {count:4} {operation}"
        yield f"before CreateFleet in a first delivery: {self.before_create_fleet} (limit {BEFORE_CREATE_FLEET})"
        yield f"a first delivery: {len(self.parts['first delivery'])} (limit {FIRST_DELIVERY})"
        yield f"a visit with nothing to do: {self.visit:g} (limit {VISIT})"


@dataclass
class Functions:
    """The two functions of a deployed project, in this process. `sent`: the operations requested so far."""

    cloud: Folder
    sent: list[str] = field(default_factory=list)

    def watch(self, endpoint: str) -> None:
        aws = environment.aws("eu-west-1", endpoint)
        for service in ("s3", "ec2", "scheduler"):
            aws.client(service).meta.events.register("before-send", self._note)

    def _note(self, event_name: str, **_keys: Any) -> None:
        self.sent.append(event_name.rpartition(".")[2])

    def launch(self, **event: str) -> dict[str, Any]:
        return launcher.handler(event, SimpleNamespace(aws_request_id="x"))

    def sweep(self) -> None:
        sweeper.handler({}, None)

    def counted(self, action: Callable[[], Any]) -> list[str]:
        """Return the operations that an action requests, in order."""
        before = len(self.sent)
        action()
        return self.sent[before:]


def count(cloud: Folder) -> Counted:
    """Deploy a project on this local cloud and count."""
    deploy(cloud)
    with functions(cloud) as there:
        counted = Counted()
        tick = names.utc_text(datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1))
        due = {"job": "short", "tick": tick, "source": "schedule"}
        counted.parts["first delivery"] = there.counted(lambda: there.launch(**due))
        counted.parts["second delivery"] = there.counted(lambda: there.launch(**due))
        run = f"short@{tick}"
        until_over(cloud, run)
        counted.parts["retry"] = there.counted(lambda: there.launch(retry=run, request="again"))
        until_over(cloud, run)
        there.sweep()
        counted.parts["sweep, no open run"] = there.counted(there.sweep)
        for number in range(RUNS):
            there.launch(job="long", request=f"r{number}")
        there.sweep()
        counted.parts[f"sweep, {RUNS} open runs"] = there.counted(there.sweep)
    return counted


def deploy(cloud: Folder) -> None:
    """Deploy the project, without the schedules: nothing but this process launches and sweeps."""
    cloud.write(PROJECT)
    done = cloud.dayfly("deploy", "--local", "--yes")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    scheduler = cloud.client("scheduler")
    for each in scheduler.list_schedules(GroupName=names.stack(NAME))["Schedules"]:
        scheduler.delete_schedule(Name=each["Name"], GroupName=names.stack(NAME))


@contextmanager
def functions(cloud: Folder) -> Iterator[Functions]:
    """Give this process the environment of the project's functions while the block runs."""
    found = cloud.client("lambda").get_function_configuration(FunctionName=names.sweeper_function(NAME))
    variables = cloud.exports() | found["Environment"]["Variables"]
    before = dict(os.environ)
    os.environ.update(variables)
    there = Functions(cloud)
    there.watch(variables["AWS_ENDPOINT_URL"])
    silent = io.StringIO()
    try:
        with redirect_stdout(silent), redirect_stderr(silent):  # the functions' log
            yield there
    finally:
        os.environ.clear()
        os.environ.update(before)
        environment.aws.cache_clear()


def until_over(cloud: Folder, run: str, seconds: float = 100) -> None:
    """Wait until the run is closed, which EC2's event of its server's end leads to."""
    limit = time.monotonic() + seconds
    while exists(cloud, f"open/{run}"):
        assert time.monotonic() < limit, f"{run} is still open after {seconds} s"
        time.sleep(0.3)


def exists(cloud: Folder, key: str) -> bool:
    try:
        cloud.client("s3").head_object(Bucket=BUCKET.format(NAME), Key=key)
    except ClientError:
        return False
    return True


def main() -> int:
    """Count on a local cloud of this process, print, and return the exit code."""
    with tempfile.TemporaryDirectory() as home:
        cloud = Folder(Path(home))
        up = cloud.dayfly("local", "up")
        if up.returncode != 0:
            sys.stderr.write(up.stderr)
            return 1
        try:
            counted = count(cloud)
        finally:
            cloud.dayfly("local", "down")
    broken = [f"too many: {line}" for line in counted.broken()]
    sys.stdout.write("\n".join([*counted.lines(), *broken, ""]))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
