"""Both wheels as a user gets them: built, installed in an empty directory, and run in environments of their own."""

from __future__ import annotations

import json
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.packages import ROOT, Installed, build, install, offline_settings, packages_in, requirements

CLI_SCRIPT = """
set -euo pipefail
eval "$(python -m localcloud env)"
aws s3 mb s3://one
echo hello | aws s3 cp - s3://one/a.txt
aws s3 cp s3://one/a.txt -
image=$(aws ssm get-parameter --name /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64 \
  --query Parameter.Value --output text)
printf '#!/bin/sh\\nshutdown -h now\\n' >user-data
server=$(aws ec2 run-instances --image-id "$image" --instance-type t3.nano --user-data file://user-data \
  --instance-initiated-shutdown-behavior terminate --query 'Instances[0].InstanceId' --output text)
aws ec2 wait instance-terminated --instance-ids "$server"
aws ec2 describe-instances --instance-ids "$server" --query 'Reservations[].Instances[].StateReason.Code' --output text
"""
"""Store and read an object; launch a server whose user data powers it off, and see it terminated."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    return {name: build(name, folder) for name in ("dayfly", "localcloud_ec2")}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Iterator[Installed]:
    """An environment with dayfly[local]: both wheels."""
    installed = install(tmp_path_factory.mktemp("both"), *wheels.values())
    yield installed
    installed.run("dayfly", "local", "down")


@pytest.fixture(scope="module")
def dayfly_alone(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Installed:
    return install(tmp_path_factory.mktemp("dayfly"), wheels["dayfly"])


@pytest.fixture(scope="module")
def localcloud_alone(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Iterator[Installed]:
    installed = install(tmp_path_factory.mktemp("localcloud"), wheels["localcloud_ec2"], also=("awscli",))
    yield installed
    installed.run("python", "-m", "localcloud", "down")


def running_from(folder: Path) -> list[str]:
    """Return the command lines of processes that programs of this environment started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def test_each_wheel_holds_its_own_package_only(wheels: dict[str, Path]) -> None:
    assert packages_in(wheels["dayfly"]) == {"dayfly"}
    assert packages_in(wheels["localcloud_ec2"]) == {"localcloud"}


def test_dayfly_wheel_holds_its_data_files_and_no_leftovers(wheels: dict[str, Path]) -> None:
    names = set(zipfile.ZipFile(wheels["dayfly"]).namelist())
    needed = {
        "dayfly/example.toml",
        "dayfly/cli/main.py",
        "dayfly/remote/boot/boothook.sh",
        "dayfly/examples/pi/pyproject.toml",
    }
    assert needed - names == set()
    assert [name for name in names if "__pycache__" in name or name.endswith((".pyc", "dayfly.toml.lock"))] == []


def test_extra_local_accepts_the_localcloud_built_beside_it(wheels: dict[str, Path]) -> None:
    version = tomllib.loads((ROOT / "localcloud/pyproject.toml").read_text())["project"]["version"]
    (wanted,) = (one for one in requirements(wheels["dayfly"]) if one.name == "localcloud-ec2")
    assert 'extra == "local"' in str(wanted.marker)
    assert wanted.specifier.contains(version)


@pytest.mark.cloud
@pytest.mark.slow
def test_demo_runs_from_wheels_in_an_empty_directory(both: Installed) -> None:
    done = both.run("dayfly", "demo", "--json", "--seconds", "2", **offline_settings(both.bin.parents[1]))
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["outcome"] == "succeeded"
    assert document["servers_left"] == 0
    assert document["digits"] >= 1000
    assert (both.folder / document["result"]).read_bytes().startswith(b"3.14159")
    assert [path.name for path in both.folder.iterdir()] == [".dayfly"]
    assert json.loads(both.run("dayfly", "local", "status", "--json").stdout)["running"] is False
    assert running_from(both.bin.parent) == []


@pytest.mark.cloud
@pytest.mark.slow
def test_localcloud_alone_serves_the_aws_cli(localcloud_alone: Installed) -> None:
    assert localcloud_alone.run("python", "-c", "import dayfly").returncode != 0
    up = localcloud_alone.run("python", "-m", "localcloud", "up")
    assert up.returncode == 0, up.stdout + up.stderr
    done = subprocess.run(
        ["bash", "-c", CLI_SCRIPT],
        cwd=localcloud_alone.folder,
        env=localcloud_alone.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "hello" in lines
    assert lines[-1] == "Client.InstanceInitiatedShutdown"
    assert localcloud_alone.run("python", "-m", "localcloud", "down").returncode == 0
    assert running_from(localcloud_alone.bin.parent) == []


def test_demo_without_the_extra_says_what_to_install(dayfly_alone: Installed) -> None:
    done = dayfly_alone.run("dayfly", "demo")
    assert done.returncode == 2
    assert "the local cloud is not installed" in done.stderr
    assert "dayfly[local]" in done.stderr
    assert list(dayfly_alone.folder.glob(".dayfly/cloud/*")) == []


def test_init_and_check_work_without_the_extra(dayfly_alone: Installed) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in dayfly_alone.run("dayfly", "--version").stdout
    assert dayfly_alone.run("dayfly", "init", "--name", "fresh").returncode == 0
    assert dayfly_alone.run("dayfly", "check").returncode == 0
