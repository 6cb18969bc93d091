"""Times the article's launcher and dayfly's on one local cloud, in turn: cold, in a new execution environment each time, and warm.

    PYTHONPATH=tests python -m system.bench [--rounds N]     what `make bench` runs

Each sample is one synchronous invocation as its caller sees it, and each launches a server. The next one starts when no server is
left. Exits 1 if dayfly's cold launch takes more than 1.5 times the article's, by the median of the pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dayfly.core import names
from system.article import ArticleSystem, until
from system.conftest import Folder

NAME = "bench"
MOST = 1.5
"""How many times the article's cold launch dayfly's may take."""
COLD, WARM = "cold", "warm"


@dataclass
class Launchers:
    """Both launchers on one local cloud. Each of dayfly's launches is the first delivery of another job's tick."""

    cloud: Folder
    article: ArticleSystem
    tick: str = ""
    launched: int = 0
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def deploy(self, jobs: int) -> None:
        """Deploy both, and remove the schedules: nothing but this program invokes."""
        self.article.prepare()
        self.article.environment |= self.cloud.exports()
        self.article.deploy(duration=1)
        self.cloud.write(project(jobs))
        done = self.cloud.dayfly("deploy", "--local", "--yes")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        scheduler = self.article.client("scheduler")
        for page in scheduler.get_paginator("list_schedules").paginate(GroupName=names.stack(NAME)):
            for each in page["Schedules"]:
                scheduler.delete_schedule(Name=each["Name"], GroupName=names.stack(NAME))
        self.tick = names.utc_text(datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1))

    def sample(self, start: str) -> None:
        """Time one launch of each, in the other order every time."""
        self.launched += 1
        due = {"job": f"job{self.launched}", "tick": self.tick, "source": "schedule"}
        both = [
            ("article", self.article.output("Function"), {"id": str(self.launched)}),
            ("dayfly", names.launcher_function(NAME), due),
        ]
        for whose, function, event in both[:: (-1) ** self.launched]:
            self._time(whose, start, function, event)

    def _time(self, whose: str, start: str, function: str, event: dict[str, str]) -> None:
        client = self.article.client("lambda")
        if start == COLD:
            renew(client, function)
        began = time.perf_counter()
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event))
        took = time.perf_counter() - began
        said = json.load(answer["Payload"])
        assert said.get("instance") or said.get("server"), said
        self.seconds.setdefault((whose, start), []).append(took)
        until(lambda: not self._alive(), 100)

    def _alive(self) -> list[Any]:
        states = [{"Name": "instance-state-name", "Values": ["pending", "running", "shutting-down"]}]
        return list(self.article.client("ec2").describe_instances(Filters=states)["Reservations"])

    def lines(self) -> Iterator[str]:
        """Yield the table that `make bench` prints."""
        for start in (COLD, WARM):
            for whose in ("article", "dayfly"):
                yield f"{start}  {whose:8} {spread(self.seconds[whose, start], ' s')}"
            yield f"{start}  ratio    {spread(self.ratios(start))}"

    def ratios(self, start: str) -> list[float]:
        """Return dayfly's time as a multiple of the article's, pair by pair."""
        pairs = zip(self.seconds["dayfly", start], self.seconds["article", start], strict=True)
        return [ours / theirs for ours, theirs in pairs]


def spread(values: list[float], unit: str = "") -> str:
    """Return median, least and most."""
    return f"{statistics.median(values):6.3f}{unit}  ({min(values):.3f} to {max(values):.3f})"


def project(jobs: int) -> str:
    """Return a project of this many jobs that are due each minute."""
    head = f'project = "{NAME}"\nregions = ["eu-west-1"]\n'
    job = '[jobs.job{}]\ncommand = "true"\nservers = ["c8g.large"]\nschedule = ["* * * * *"]\nmarket = "on-demand"\n'
    return head + "".join(job.format(number) for number in range(1, jobs + 1))


def renew(client: Any, function: str) -> None:
    """Change the function's environment, so that the next invocation starts in a new execution environment."""
    found = client.get_function_configuration(FunctionName=function)
    variables = found["Environment"]["Variables"] | {"RENEWED": str(time.time())}
    client.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
    client.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 1})


def main() -> int:
    """Run the rounds, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="samples of each kind (9)")
    rounds = parser.parse_args().rounds
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    with tempfile.TemporaryDirectory() as home:
        cloud = Folder(Path(home))
        up = cloud.dayfly("local", "up")
        assert up.returncode == 0, up.stderr
        launchers = Launchers(cloud, ArticleSystem(Path(home) / "article"))
        try:
            launchers.deploy(2 * rounds)
            for _ in range(rounds):
                launchers.sample(COLD)
                launchers.sample(WARM)
        finally:
            cloud.dayfly("local", "down")
    sys.stdout.write("\n".join([*launchers.lines(), ""]))
    return int(statistics.median(launchers.ratios(COLD)) > MOST)


if __name__ == "__main__":
    sys.exit(main())
