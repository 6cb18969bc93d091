"""EC2 types and their architecture, checked against every type that the SDK knows."""

from __future__ import annotations

import botocore.session
import pytest

from dayfly.project.file import instance_types

GRAVITON = """
    a1 t4g m6g m6gd m7g m7gd m8g m8gd m8gn m8gb c6g c6gd c6gn c7g c7gd c7gn c8g c8gd c8gn c8gb r6g
    r6gd r7g r7gd r8g r8gd r8gn r8gb x2gd x8g i4g i8g i8ge im4gn is4gen g5g hpc7g p6e-gb200 c9g m9g
    r9gd
"""
OTHERS = "t3 m5 c7a c7i-flex g4dn g6e gr6 hpc7a p5 u7i-12tb inf2 i7ie x2idn"


def all_types() -> list[str]:
    model = botocore.session.get_session().get_service_model("ec2")
    return list(model.shape_for("InstanceType").enum)


def test_every_type_of_the_sdk_is_accepted() -> None:
    types = all_types()
    assert len(types) > 800
    for name in types:
        assert ".".join(instance_types.split(name)) == name


def test_only_graviton_families_are_arm64() -> None:
    families = {instance_types.split(name).family: instance_types.architecture(name) for name in all_types()}
    for family in families.keys() & set(GRAVITON.split()):
        assert families[family] == "arm64", family
    for family in OTHERS.split():
        assert families[family] == "x86_64", family


def test_unlisted_arm_family_is_recognized() -> None:
    assert instance_types.architecture("c9gdn.48xlarge") == "arm64"


@pytest.mark.parametrize(
    "name", ["", "large", "c8g", "c8g.huge", "C8G.large", "c8g large", "c8g.4xlarge.", "*.large", "4"]
)
def test_malformed_type_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not an EC2 type"):
        instance_types.architecture(name)


def test_apple_servers_do_not_run_linux() -> None:
    assert not instance_types.runs_linux("mac2-m2.metal")
    assert instance_types.runs_linux("c8g.large")
