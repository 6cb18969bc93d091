"""The standing cost: it is that of the requests which a sweep makes, and the README says the same."""

from __future__ import annotations

from pathlib import Path

from dayfly.flows import calls
from dayfly.project.deploy import costs
from dayfly.project.stack import template
from model.cloud import ModelCloud, cloud_with, version
from model.steps import sweep
from project.stack_input import GIVEN

README = Path(__file__).parents[2] / "README.md"
WRITES = {"List", "ListFrom", "Put", "PutNew", "PutMatch"}
"""The calls that S3 bills at the price of a PUT."""
FREE = {"ListServers", "Now", "Log"}


class CountingCloud(ModelCloud):
    """Notes the calls."""

    def take_effect(self, call: calls.Call[object]) -> object:
        self.counted = [*getattr(self, "counted", []), type(call).__name__]
        return super().take_effect(call)


def test_sweep_with_nothing_to_do_makes_the_requests_of_the_cost():
    there = cloud_with(version(schedule=("0 3 * * *",)))
    cloud = CountingCloud(now=there.now, objects=there.objects)
    sweep(cloud)
    cloud.pass_time(300)
    cloud.counted = []
    sweep(cloud)
    billed = [name for name in cloud.counted if name not in FREE]
    assert len([name for name in billed if name in WRITES]) == costs.WRITES
    assert [name for name in billed if name not in WRITES] == ["Get"] * costs.READS


def test_cost_counts_the_alarms_and_the_memory_of_the_stack():
    resources = template.build(GIVEN)["Resources"].values()
    assert len([each for each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]) == costs.ALARMS
    memory = {each["Properties"]["MemorySize"] for each in resources if each["Type"] == "AWS::Lambda::Function"}
    assert memory == {costs.MEMORY_GB * 1024}


def test_readme_says_the_standing_cost():
    assert costs.said() in " ".join(README.read_text().split())


def test_parts_of_the_cost_add_up():
    cost = costs.standing()
    assert round(cost.requests + cost.sweeper + cost.alarms + cost.metric, 6) == round(cost.all, 6)
    assert cost.free < cost.all
