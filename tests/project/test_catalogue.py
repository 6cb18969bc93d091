"""The catalogue of EC2 types that dayfly ships, and what `check` says about a type that it lacks."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import botocore.session
import pytest

from dayfly.errors import FileError
from dayfly.project.file import catalogue, config, instance_types
from dayfly.project.file.warnings import find_warnings

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def check(*types: str):
    named = ", ".join(f'"{each}"' for each in types)
    text = f'project = "pi"\nregions = ["eu-west-1"]\n[jobs.pi]\ncommand = "true"\nservers = [{named}]\n'
    return config.read(text, zones=ZoneInfo, now=NOW)


def test_the_catalogue_is_what_its_script_writes():
    done = subprocess.run([sys.executable, ROOT / "scripts/instance-types", "--check"], timeout=60, check=False)
    assert done.returncode == 0, "run scripts/instance-types"


def test_a_type_has_architecture_vcpus_and_memory():
    assert catalogue.types()["c8g.large"] == catalogue.Type("c8g.large", "arm64", 2, 4096)
    assert catalogue.types()["t2.micro"] == catalogue.Type("t2.micro", "x86_64", 1, 1024)


def test_names_imply_the_architecture_that_aws_reports():
    assert [
        name for name, one in catalogue.types().items() if instance_types.architecture(name) != one.architecture
    ] == []


def test_every_linux_type_of_the_sdk_is_known():
    types = botocore.session.get_session().get_service_model("ec2").shape_for("InstanceType").enum
    assert [name for name in types if instance_types.runs_linux(name) and name not in catalogue.types()] == []


@pytest.mark.parametrize(
    ("name", "near"),
    [("zz9.large", "z1d.large"), ("c8g.larg", "c8g.large"), ("c8g.3xlarge", "c8g.4xlarge"), ("C8G.large", "c8g.large")],
)
def test_type_that_does_not_exist_is_an_error_with_the_nearest_names(name, near):
    with pytest.raises(FileError) as refused:
        check(name)
    [problem] = refused.value.problems
    assert problem.message == f'"{name}" is not an EC2 type'
    assert any(near in remedy for remedy in problem.remedies)


@pytest.mark.parametrize(("name", "newer"), [("c10g.large", True), ("c9zz.large", True), ("c6zz.large", False)])
def test_family_of_the_newest_generation_may_be_newer_than_the_catalogue(name, newer):
    assert catalogue.may_be_newer(name) is newer


def test_type_that_may_be_newer_is_a_warning():
    project = check("c10g.large", "c8g.large")
    [warning] = find_warnings(project, NOW, ZoneInfo)
    assert warning.path == "jobs.pi.servers"
    assert warning.message == "c10g.large was not known as an EC2 type on 27 Oct 2026; it may be newer"
