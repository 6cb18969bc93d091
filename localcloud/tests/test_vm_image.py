"""The guest image as a thing on disk: built once, found whole or not at all; and how KVM is believed. Nothing boots here."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from localcloud.commandline.main import main
from localcloud.errors import CloudError
from localcloud.guests.vm import accelerator, build, host, image, recipe

X86 = platform.system() == "Linux" and platform.machine() == "x86_64"
QEMU = "qemu-system-x86_64"
SPEAKS = "echo 'Linux version 6.12'; exec sleep 60"
needs_x86 = pytest.mark.skipif(not X86, reason="vm guests need Linux on x86_64")


def program(folder: Path, name: str, text: str) -> None:
    """An executable shell script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs are found first."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def put_image(directory: Path, made_at: str = "2026-11-24T00:00:00+00:00") -> Path:
    """An image that is whole, small and boots nothing."""
    directory.mkdir(parents=True)
    (directory / image.ROOT).write_bytes(b"root")
    (directory / image.KERNEL).write_bytes(b"kernel")
    manifest = image.Manifest(
        digest=recipe.digest(),
        suite="trixie",
        architecture="x86_64",
        python="3.13",
        kernel="6.12.1",
        packages={"cloud-init": "25.1"},
        size=8192,
        lengths={image.ROOT: 4, image.KERNEL: 6},
        made_at=made_at,
        built_s=60.0,
    )
    (directory / image.MANIFEST).write_text(manifest.text())
    return directory


def test_an_image_that_is_whole_is_found_with_all_that_its_manifest_says(tmp_path):
    directory = put_image(tmp_path / recipe.digest())
    found = image.find(tmp_path)
    assert found is not None
    assert (found.root, found.kernel) == (directory / "root.ext4", directory / "vmlinuz")
    assert (found.manifest.python, found.manifest.packages["cloud-init"]) == ("3.13", "25.1")


def test_no_image_is_found_where_none_was_built(tmp_path):
    assert image.find(tmp_path) is None
    assert image.find(tmp_path / "absent") is None


@pytest.mark.parametrize("part", [image.ROOT, image.KERNEL, image.MANIFEST])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_damaged_image_is_not_found(tmp_path, part, damage):
    path = put_image(tmp_path / recipe.digest()) / part
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    assert image.find(tmp_path) is None


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"digest": 1, "packages": [], "lengths": 0}'])
def test_a_manifest_of_another_shape_is_no_manifest(text):
    with pytest.raises(ValueError, match="not a manifest"):
        image.Manifest.read(text)


def test_an_image_of_another_recipe_is_not_found(tmp_path):
    put_image(tmp_path / recipe.digest()).rename(tmp_path / ("0" * 16))
    assert image.find(tmp_path) is None
    assert image.read(tmp_path / ("0" * 16)) is None


def test_an_image_built_again_stands_beside_the_old_one_and_is_the_one_found(tmp_path):
    assert image.free_directory(tmp_path) == tmp_path / recipe.digest()
    old = put_image(image.free_directory(tmp_path))
    new = put_image(image.free_directory(tmp_path))
    for _ in range(9):
        newest = put_image(image.free_directory(tmp_path))
    assert old != new
    assert image.find(tmp_path).directory == newest
    assert newest.name.endswith(".11")
    (newest / image.ROOT).unlink()
    assert image.find(tmp_path).directory.name.endswith(".10")


def test_the_cache_is_the_users_or_the_one_named():
    assert image.cache_directory({"HOME": "/h"}) == Path("/h/.cache/localcloud/images")
    assert image.cache_directory({"HOME": "/h", "XDG_CACHE_HOME": "/c"}) == Path("/c/localcloud/images")
    assert image.cache_directory({"HOME": "/h", "LOCALCLOUD_CACHE": "/own"}) == Path("/own")


def test_the_digest_of_a_recipe_is_the_same_in_every_process():
    say = "from localcloud.guests.vm import recipe; print(recipe.digest())"
    said = {
        subprocess.run(
            [sys.executable, "-c", say],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert said == {recipe.digest()}


def test_what_is_laid_over_the_packages_belongs_to_root_and_masks_what_the_recipe_says():
    with tarfile.open(fileobj=io.BytesIO(build.overlay_tar())) as archive:
        entries = {entry.name: entry for entry in archive.getmembers()}
        config = archive.extractfile("etc/cloud/cloud.cfg.d/99_localcloud.cfg").read().decode()
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}
    assert set(entries) == set(recipe.FILES) | set(recipe.links())
    assert entries["etc/systemd/system/tmp.mount"].linkname == "/dev/null"
    assert entries["etc/machine-id"].size == 0
    assert "datasource_list: [Ec2]" in config
    assert build.overlay_tar() == build.overlay_tar()


def test_a_machine_without_mmdebstrap_is_told_the_one_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "mmdebstrap" in host.missing_packages()
    if X86:
        with pytest.raises(CloudError, match="apt-get install --no-install-recommends mmdebstrap"):
            build.build(tmp_path / "cache", lambda _: None)
        assert not (tmp_path / "cache").exists()


# What mmdebstrap's last hook would write, in the descriptors that it is given.
MAKES = """
echo "I: downloading packages with apt..." >&2
echo once >>"$COUNT"
sleep 0.3
printf root >/proc/self/fd/$ROOT
printf kernel >/proc/self/fd/$KERNEL
printf 'python 3.13\\nii  cloud-init 25.1.4\\nrc  gone 1\\nkernel 6.12.1\\n' >/proc/self/fd/$FACTS
"""


@pytest.fixture
def can_build(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts the runs of an mmdebstrap that makes something at once."""
    program(programs, "mmdebstrap", MAKES)
    if not X86 or host.missing_packages() or (os.geteuid() != 0 and not host.has_subids()):
        pytest.skip("this machine lacks what a build is checked for: scripts/setup-vm")
    for place, variable in host.build_directories(tmp_path):
        if shutil.disk_usage(place).free < host.NEEDED_BYTES:
            pytest.skip(f"{place} has no room for a build ({variable})")
    count = tmp_path / "count"
    monkeypatch.setenv("COUNT", str(count))
    return count


def test_a_build_leaves_an_image_that_is_found_and_nothing_half_made(tmp_path, can_build):
    said: list[str] = []
    made = build.build(tmp_path / "cache", said.append)
    assert made == image.find(tmp_path / "cache")
    assert (made.manifest.python, made.manifest.kernel) == ("3.13", "6.12.1")
    assert made.manifest.packages == {"cloud-init": "25.1.4"}
    assert said == ["downloading packages with apt..."]
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {".lock", "build.log", recipe.digest()}
    assert build.build(tmp_path / "cache", said.append) == made
    assert can_build.read_text() == "once\n"


def test_two_builders_at_once_make_one_image(tmp_path, can_build):
    found: list[image.GuestImage] = []
    builders = [
        threading.Thread(target=lambda: found.append(build.build(tmp_path / "cache", lambda _: None))) for _ in range(3)
    ]
    for one in builders:
        one.start()
    for one in builders:
        one.join(120)
    assert len(found) == 3
    assert len({one.directory for one in found}) == 1
    assert can_build.read_text() == "once\n"


def test_a_damaged_image_is_built_anew(tmp_path, can_build):
    made = build.build(tmp_path / "cache", lambda _: None)
    made.kernel.chmod(0o600)
    made.kernel.write_bytes(b"")
    again = build.build(tmp_path / "cache", lambda _: None)
    assert again.kernel.read_bytes() == b"kernel"
    assert can_build.read_text() == "once\nonce\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("E: Failed to fetch http://mirror/x  Could not resolve 'mirror'", "could not be fetched"),
        ("I: a step\nfind: it broke here\nE: setup failed", "find: it broke here"),
        ("E: no more room", "E: no more room"),
        ("", "no reason was given"),
    ],
)
@pytest.mark.usefixtures("can_build")
def test_a_failed_build_says_what_failed_and_leaves_no_image(tmp_path, programs, words, told):
    program(programs, "mmdebstrap", f"printf root >/proc/self/fd/$ROOT\ncat >&2 <<'END'\n{words}\nEND\nexit 25")
    with pytest.raises(CloudError) as caught:
        build.build(tmp_path / "cache", lambda _: None)
    assert told in caught.value.message
    assert str(tmp_path / "cache" / "build.log") in caught.value.remedy
    assert image.find(tmp_path / "cache") is None
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [".lock", "build.log"]


def test_what_a_killed_builder_left_is_cleared_away(tmp_path, can_build):
    left = tmp_path / "cache" / ".making-old"
    left.mkdir(parents=True)
    (left / image.ROOT).write_bytes(b"half")
    build.build(tmp_path / "cache", lambda _: None)
    assert not left.exists()
    assert can_build.exists()


@pytest.mark.usefixtures("qemu", "can_build")
def test_a_build_that_is_stopped_ends_what_it_started_and_leaves_nothing_half_made(tmp_path, programs):
    program(programs, "mmdebstrap", 'echo "I: installing packages..." >&2\nsleep 100')
    asked = subprocess.Popen(
        [sys.executable, "-m", "localcloud", "image"],
        env=os.environ | {"LOCALCLOUD_CACHE": str(tmp_path / "cache"), "BUILD_OF": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert asked.stderr.readline().endswith("installing packages\n")
    asked.terminate()
    assert asked.communicate(timeout=120)[1] == "stopped; nothing half-made is left\n"
    assert asked.returncode == 130
    reached(lambda: not marked_processes(tmp_path))
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {".lock", "build.log"}


@pytest.mark.parametrize(
    ("held", "first"),
    [
        ((), 100000),
        (("",), 100000),
        (("ann:100000:65536\nbob:165536:65536\n", "ann:100000:65536\n"), 231072),
        (("ann:100000:65536\n", "eve:300000:10\n\nnot a line\nx:y:z\n"), 300010),
    ],
)
def test_a_user_without_ids_is_told_of_some_that_nobody_has(held, first):
    assert host.free_subids(*held) == first


def mounts_below(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]


def test_a_killed_builder_takes_the_build_and_its_mounts_along(tmp_path, programs, can_build):
    words = (
        f'echo "$TMPDIR" >"{tmp_path}/temporary"\n'
        'if [ "$(id -u)" = 0 ]; then mkdir "$TMPDIR/root" && mount -t tmpfs tmpfs "$TMPDIR/root" && touch "$TMPDIR/root/in"; fi\n'
        "sleep 1000 &\n"
        'echo "I: installing packages..." >&2\nwait'
    )
    program(programs, "mmdebstrap", words)
    call = "import sys; from pathlib import Path; from localcloud.guests.vm import build; build.build(Path(sys.argv[1]), print)"
    marked = {"BUILD_OF": str(tmp_path)}
    with (tmp_path / "said").open("w") as said:
        builder = subprocess.Popen(
            [sys.executable, "-u", "-c", call, str(tmp_path / "cache")], env=os.environ | marked, stdout=said
        )
    try:
        reached(lambda: "installing" in (tmp_path / "said").read_text())
        assert marked_processes(tmp_path)
    finally:
        builder.kill()
        builder.wait(60)
    if os.geteuid() == 0:
        reached(lambda: not marked_processes(tmp_path))
        assert (tmp_path / "temporary").read_text().startswith(f"{tmp_path}/cache/.making-")
    else:  # a plain user's mmdebstrap makes a process namespace itself; this one does not
        for each in marked_processes(tmp_path):
            os.kill(int(each), signal.SIGKILL)
    assert mounts_below(tmp_path) == []
    program(programs, "mmdebstrap", MAKES)
    build.build(tmp_path / "cache", lambda _: None)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {".lock", "build.log", recipe.digest()}
    assert can_build.read_text() == "once\n"


def reached(true) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def marked_processes(folder: Path) -> list[str]:
    """Processes that live and have that folder's mark in their environment."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if f"BUILD_OF={folder}\0".encode() in (each / "environ").read_bytes():
                found.append(each.name)
        except OSError:
            continue
    return found


@pytest.fixture
def qemu(programs: Path, tmp_path: Path) -> Path:
    """A QEMU that counts its starts and leaves its process id; what it does then is in the file `act`."""
    act = tmp_path / "act"
    act.write_text(SPEAKS)
    program(
        programs,
        QEMU,
        f'[ "$1" != --version ] || {{ echo "QEMU emulator version 7.2.0 (x)"; exit; }}\n'
        f'echo start >>"{tmp_path}/starts"\necho $$ >"{tmp_path}/pid"\nsource "{act}"',
    )
    return act


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    return path


@pytest.fixture
def whole(tmp_path: Path) -> image.GuestImage:
    found = image.read(put_image(tmp_path / "cache" / recipe.digest()))
    assert found is not None
    return found


def gone(pid: int) -> bool:
    """Whether a process ended, reaped or not, within a minute."""
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
def test_kvm_is_believed_when_a_kernel_speaks_and_qemu_is_ended_then(tmp_path, whole, device):
    found = accelerator.choose(whole, tmp_path, device, patience=60)
    assert found.name == "kvm"
    assert gone(int((tmp_path / "pid").read_text()))


@needs_x86
def test_kvm_is_not_believed_when_a_kernel_says_nothing(tmp_path, qemu, whole, device):
    qemu.write_text("echo 'SeaBIOS'; exec sleep 60")
    found = accelerator.choose(whole, tmp_path, device, patience=2)
    assert found == accelerator.Accelerator(
        "tcg", f"{device} is there, but a kernel started with it printed nothing for 2 s"
    )
    if (tmp_path / "pid").exists():
        assert gone(int((tmp_path / "pid").read_text()))


@needs_x86
def test_silence_of_a_busy_moment_is_not_kept_and_a_refusal_is_until_asked_again(tmp_path, qemu, whole, device):
    qemu.write_text("exec sleep 60")
    assert accelerator.choose(whole, tmp_path, device, patience=1).name == "tcg"
    qemu.write_text("echo 'error: no' >&2; exit 1")
    assert "ended at once" in accelerator.choose(whole, tmp_path, device, patience=60).why
    qemu.write_text(SPEAKS)
    assert "ended at once" in accelerator.choose(whole, tmp_path, device, patience=60).why
    assert accelerator.choose(whole, tmp_path, device, patience=60, again=True).name == "kvm"
    assert accelerator.choose(whole, tmp_path, device, patience=60).name == "kvm"


@needs_x86
def test_kvm_is_not_believed_when_qemu_refuses_it_and_its_words_are_told(tmp_path, qemu, whole, device):
    qemu.write_text("echo 'qemu-system-x86_64: error: failed to set MSR 0x10a' >&2; exit 1")
    found = accelerator.choose(whole, tmp_path, device, patience=60)
    assert found == accelerator.Accelerator(
        "tcg", f"{device} is there, but QEMU with it ended at once (failed to set MSR 0x10a)"
    )


@needs_x86
@pytest.mark.usefixtures("qemu")
def test_a_machine_without_the_device_is_not_probed(tmp_path, whole):
    found = accelerator.choose(whole, tmp_path, tmp_path / "absent")
    assert found == accelerator.Accelerator("tcg", f"there is no {tmp_path}/absent")
    assert not (tmp_path / "starts").exists()


@needs_x86
def test_a_verdict_is_kept_until_the_image_is_another_or_the_note_is_damaged(tmp_path, qemu, whole, device):
    first = accelerator.choose(whole, tmp_path, device, patience=60)
    qemu.write_text("exit 1")
    assert accelerator.choose(whole, tmp_path, device, patience=60) == first
    assert starts(tmp_path) == 1
    (tmp_path / "accelerator.json").write_text("{")
    assert accelerator.choose(whole, tmp_path, device, patience=60).name == "tcg"
    qemu.write_text(SPEAKS)
    other = image.Manifest.read(whole.manifest.text().replace(whole.manifest.digest, "0" * 16))
    moved = image.GuestImage(whole.directory, whole.root, whole.kernel, other)
    assert accelerator.choose(moved, tmp_path, device, patience=60).name == "kvm"
    assert starts(tmp_path) == 3


def test_a_machine_without_qemu_is_told_what_to_install(tmp_path, whole, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CloudError, match="qemu-system-x86 qemu-utils"):
        accelerator.choose(whole, tmp_path)


@needs_x86
@pytest.mark.usefixtures("qemu", "whole")
def test_the_command_says_where_the_image_is_and_how_guests_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LOCALCLOUD_CACHE", str(tmp_path / "cache"))
    assert main(["image", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["directory"] == str(tmp_path / "cache" / recipe.digest())
    assert (said["built"], said["size"], said["python"]) == (False, 8192, "3.13")
    assert said["accelerator"] in ("kvm", "tcg")
    assert main(["image"]) == 0
    assert f"{said['accelerator']}: {said['why']}" in capsys.readouterr().out


def test_find_prints_the_image_or_exits_1(tmp_path, monkeypatch, capsys):
    cache = tmp_path / "cache"
    monkeypatch.setenv("LOCALCLOUD_CACHE", str(cache))
    assert main(["image", "--find"]) == 1
    assert capsys.readouterr().out == ""
    assert not cache.exists()
