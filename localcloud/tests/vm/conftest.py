"""Fixtures for tests about QEMU guests. Tests that start one are skipped where QEMU or the guest image is missing."""

import os
from pathlib import Path

import pytest
from fake_programs import PRINTS_FIRST_LINE, QEMU, program, put_image
from requirements import missing_requirement

from localcloud.guests.vm import image, recipe

# Read at import: during a test the variables of the environment are removed.
REQUIRED = os.environ.get("LOCALCLOUD_TEST_NEEDS_VM") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of VM guests where these cannot run, and give the reason."""
    reason = missing_requirement()
    if reason is None or REQUIRED:
        return
    for item in items:
        if _needs_vm(item):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """With LOCALCLOUD_TEST_NEEDS_VM=1, fail tests that would otherwise be skipped."""
    if not REQUIRED or not _needs_vm(item):
        return
    reason = missing_requirement()
    if reason is not None:
        pytest.fail(f"LOCALCLOUD_TEST_NEEDS_VM is set: {reason}", pytrace=False)


def _needs_vm(item: pytest.Item) -> bool:
    return item.get_closest_marker("vm") is not None and Path(__file__).parent in item.path.parents


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory at the front of PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def qemu(programs: Path, tmp_path: Path) -> Path:
    """The script that a fake QEMU runs. The fake counts its starts (`starts`) and writes its process id (`pid`)."""
    act = tmp_path / "act"
    act.write_text(PRINTS_FIRST_LINE)
    program(
        programs,
        QEMU,
        f'[ "$1" != --version ] || {{ echo "QEMU emulator version 7.2.0 (x)"; exit; }}\n'
        f'echo start >>"{tmp_path}/starts"\necho $$ >"{tmp_path}/pid"\nsource "{act}"',
    )
    return act


@pytest.fixture
def whole(tmp_path: Path) -> image.GuestImage:
    """A complete image in the cache."""
    found = image.read(put_image(tmp_path / "cache" / recipe.digest()))
    assert found is not None
    return found
