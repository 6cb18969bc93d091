"""The disk of a job: what a size or a table in dayfly.toml means, and what EC2 is asked for."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core import names, request
from dayfly.project.deploy import plan
from dayfly.project.file import config, disks, values
from model.cloud import BUCKET, PROJECT, TICK, version

RUN = names.RunName("pi", TICK)


def job(disk: str):
    text = f"""
project = "pi"
regions = ["eu-west-1"]
[jobs.pi]
command = "x"
servers = ["c8g.large"]
disk = {disk}
"""
    return config.read(text, zones=ZoneInfo).jobs["pi"]


def volumes(**changes):
    intent = request.intent(RUN, 1, version(**changes), PROJECT, BUCKET, TICK, "r")
    overrides = [one for each in intent.requests.values() for one in request.overrides(each)]
    return [one["BlockDeviceMappings"][0]["Ebs"] for one in overrides]


@pytest.mark.parametrize(
    ("disk", "meant"),
    [
        ('"20GB"', (20, None, None)),
        ('"250GB"', (250, None, None)),
        ('"500GB"', (500, 250, None)),
        ('"1TB"', (1000, 500, None)),
        ('"1500GB"', (1500, 750, None)),
        ('"16TB"', (16_000, 750, None)),
        ('{ size = "500GB" }', (500, 250, None)),
        ('{ size = "500GB", throughput = 125 }', (500, None, None)),
        ('{ size = "500GB", throughput = 500 }', (500, 500, None)),
        ('{ size = "500GB", throughput = 751 }', (500, 751, 3004)),
        ('{ size = "500GB", throughput = 500, iops = 6000 }', (500, 500, 6000)),
        ('{ size = "500GB", iops = 6000 }', (500, None, 6000)),
        ('{ size = "500GB", throughput = 2000, iops = 80000 }', (500, 2000, 80_000)),
    ],
)
def test_size_or_table_says_size_and_speed(disk, meant):
    found = job(disk)
    assert (found.disk_gb, found.disk_throughput, found.disk_iops) == meant


def test_speed_of_a_disk_is_asked_of_ec2():
    for volume in volumes(disk_gb=500, disk_throughput=500, disk_iops=6000):
        assert (volume["VolumeSize"], volume["Throughput"], volume["Iops"]) == (500, 500, 6000)


def test_usual_speed_is_not_in_the_request():
    assert volumes()
    for volume in volumes():
        assert "Throughput" not in volume
        assert "Iops" not in volume


def test_version_without_speed_keeps_its_key():
    assert version().key == version(disk_throughput=None, disk_iops=None).key
    assert version().key != version(disk_throughput=250).key


@given(
    st.fixed_dictionaries(
        {"size": st.sampled_from(["8GB", "20GB", "400GB", "2TB", "16TB"])},
        optional={"throughput": st.integers(100, 2100), "iops": st.integers(2900, 81_000)},
    )
)
def test_accepted_speed_is_within_the_limits_of_gp3(table):
    try:
        found = disks.disk(table)
    except values.Invalid:
        return
    throughput, iops = found.throughput or 125, found.iops or 3000
    assert 125 <= throughput <= 2000
    assert 3000 <= iops <= 80_000
    assert throughput * 4 <= iops <= max(3000, found.gb * 500)


def test_plan_says_what_changes_of_the_disk():
    faster = version(disk_gb=500, disk_throughput=1000, disk_iops=4000)
    [change] = plan.job_changes({"pi": version()}, {"pi": faster})
    assert change.words == ("disk 20GB -> 500GB", "disk.throughput 125 -> 1,000", "disk.iops 3,000 -> 4,000")
