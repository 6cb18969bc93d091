"""The platform of a job, and the one that uv installs wheels for."""

from __future__ import annotations

import platform

import pytest

from dayfly.project.bundle.target import Target, image_target, local_target


@pytest.mark.parametrize(
    ("glibc", "platform_name"),
    [("2.41", "manylinux_2_40"), ("2.36", "manylinux_2_36"), ("2.30", "manylinux_2_28"), (None, "manylinux_2_17")],
)
def test_platform_is_the_newest_that_glibc_allows(glibc: str | None, platform_name: str) -> None:
    assert Target(machine="aarch64", python="3.13", glibc=glibc).platform == f"aarch64-{platform_name}"


def test_only_stock_images_have_a_known_python() -> None:
    assert str(image_target("debian-13", "arm64")) == "Linux arm64, Python 3.13"
    assert image_target("ami-0123456789abcdef0", "arm64") is None


def test_local_target_has_the_c_library_of_this_machine() -> None:
    glibc = platform.libc_ver()[1] or None
    assert local_target("x86_64", "3.12") == Target(machine="x86_64", python="3.12", glibc=glibc)
