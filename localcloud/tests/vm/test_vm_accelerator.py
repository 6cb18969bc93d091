"""KVM is used only after a kernel started with it has printed something. No guest boots here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fake_programs import PRINTS_FIRST_LINE, needs_x86

from localcloud.errors import CloudError
from localcloud.guests.vm import accelerator, image


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A file in place of /dev/kvm."""
    path = tmp_path / "kvm"
    path.touch()
    return path


def gone(pid: int) -> bool:
    """Wait up to a minute for a process to end, reaped or not; return whether it did."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def starts(tmp_path: Path) -> int:
    return (tmp_path / "starts").read_text().count("start")


@needs_x86
@pytest.mark.usefixtures("qemu")
def test_kvm_is_used_when_a_kernel_prints_and_the_probe_is_ended(tmp_path, whole, device):
    found = accelerator.choose(whole, tmp_path, device, patience=60)
    assert found.name == "kvm"
    assert gone(int((tmp_path / "pid").read_text()))


@needs_x86
def test_kvm_is_not_used_when_the_kernel_prints_nothing(tmp_path, qemu, whole, device):
    qemu.write_text("echo 'SeaBIOS'; exec sleep 60")
    found = accelerator.choose(whole, tmp_path, device, patience=2)
    assert found == accelerator.Accelerator(
        "tcg", f"{device} exists, but a kernel started with it printed nothing for 2 s"
    )
    if (tmp_path / "pid").exists():
        assert gone(int((tmp_path / "pid").read_text()))


@needs_x86
def test_silence_is_probed_again_but_a_refusal_is_remembered(tmp_path, qemu, whole, device):
    qemu.write_text("exec sleep 60")
    assert accelerator.choose(whole, tmp_path, device, patience=1).name == "tcg"
    qemu.write_text("echo 'error: no' >&2; exit 1")
    assert "ended at once" in accelerator.choose(whole, tmp_path, device, patience=60).why
    qemu.write_text(PRINTS_FIRST_LINE)
    assert "ended at once" in accelerator.choose(whole, tmp_path, device, patience=60).why
    assert accelerator.choose(whole, tmp_path, device, patience=60, again=True).name == "kvm"
    assert accelerator.choose(whole, tmp_path, device, patience=60).name == "kvm"


@needs_x86
def test_kvm_is_not_used_when_qemu_refuses_and_its_error_is_quoted(tmp_path, qemu, whole, device):
    qemu.write_text("echo 'qemu-system-x86_64: error: failed to set MSR 0x10a' >&2; exit 1")
    found = accelerator.choose(whole, tmp_path, device, patience=60)
    assert found == accelerator.Accelerator(
        "tcg", f"{device} exists, but QEMU with it ended at once (failed to set MSR 0x10a)"
    )


@needs_x86
@pytest.mark.usefixtures("qemu")
def test_machine_without_kvm_device_is_not_probed(tmp_path, whole):
    found = accelerator.choose(whole, tmp_path, tmp_path / "absent")
    assert found == accelerator.Accelerator("tcg", f"there is no {tmp_path}/absent")
    assert not (tmp_path / "starts").exists()


@needs_x86
def test_result_is_kept_until_the_image_or_the_file_changes(tmp_path, qemu, whole, device):
    first = accelerator.choose(whole, tmp_path, device, patience=60)
    qemu.write_text("exit 1")
    assert accelerator.choose(whole, tmp_path, device, patience=60) == first
    assert starts(tmp_path) == 1
    (tmp_path / "accelerator.json").write_text("{")
    assert accelerator.choose(whole, tmp_path, device, patience=60).name == "tcg"
    qemu.write_text(PRINTS_FIRST_LINE)
    other = image.Manifest.read(whole.manifest.text().replace(whole.manifest.digest, "0" * 16))
    renamed = image.GuestImage(whole.directory, whole.root, whole.kernel, other)
    assert accelerator.choose(renamed, tmp_path, device, patience=60).name == "kvm"
    assert starts(tmp_path) == 3


def test_missing_qemu_is_reported_with_packages_to_install(tmp_path, whole, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CloudError, match="qemu-system-x86 qemu-utils"):
        accelerator.choose(whole, tmp_path)
