"""One walk does not repeat a step on EC2 that had no effect yet."""

from __future__ import annotations

from dataclasses import replace

from dayfly.flows import calls
from model.cloud import ModelCloud, cloud_with, version
from model.steps import tick


class CountingCloud(ModelCloud):
    """Counts the calls of each type."""

    def take_effect(self, call):
        self.counted = [*getattr(self, "counted", []), type(call)]
        return super().take_effect(call)


class NamelessCloud(CountingCloud):
    """Launches servers that neither the answer nor EC2's list shows yet."""

    def create_fleet(self, call):
        answer = super().create_fleet(call)
        self.hidden = set(self.servers)
        return replace(answer, servers=())


class NeverArmedCloud(CountingCloud):
    """Never shows a kill schedule."""

    def is_armed(self, _call):
        return False


def deliver_tick(kind: type[CountingCloud]) -> CountingCloud:
    deployed = cloud_with(version(market="on-demand"))
    cloud = kind(now=deployed.now, objects=deployed.objects)
    tick(cloud)
    return cloud


def test_one_walk_asks_ec2_once_in_a_market():
    assert deliver_tick(NamelessCloud).counted.count(calls.CreateFleet) == 1


def test_one_walk_arms_a_server_once():
    assert deliver_tick(NeverArmedCloud).counted.count(calls.Arm) == 1
