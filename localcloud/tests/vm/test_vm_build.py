"""Building the guest image: one image for several builders, and nothing left behind by a builder that ends."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from fake_programs import X86, program

from localcloud.errors import CloudError
from localcloud.guests.vm import build, host, image, recipe


def test_overlay_belongs_to_root_and_masks_units_of_the_recipe():
    with tarfile.open(fileobj=io.BytesIO(build.overlay_tar())) as archive:
        entries = {entry.name: entry for entry in archive.getmembers()}
        config = archive.extractfile("etc/cloud/cloud.cfg.d/99_localcloud.cfg").read().decode()
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}
    assert set(entries) == set(recipe.FILES) | set(recipe.links())
    assert entries["etc/systemd/system/fstrim.timer"].linkname == "/dev/null"
    met = {"tmp.mount", "apt-daily.timer", "apt-daily-upgrade.timer"}
    assert {f"etc/systemd/system/{unit}" for unit in met} & set(entries) == set()
    assert entries["etc/machine-id"].size == 0
    assert "datasource_list: [Ec2]" in config
    assert build.overlay_tar() == build.overlay_tar()


def test_missing_mmdebstrap_is_reported_with_the_install_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "mmdebstrap" in host.missing_packages()
    if X86:
        with pytest.raises(CloudError, match="apt-get install --no-install-recommends mmdebstrap"):
            build.build(tmp_path / "cache", lambda _: None)
        assert not (tmp_path / "cache").exists()


# Writes what mmdebstrap's last hook would write, to the file descriptors that the hook gets.
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
    """The file in which a fake mmdebstrap, which finishes at once, counts its runs."""
    program(programs, "mmdebstrap", MAKES)
    if not X86 or host.missing_packages() or (os.geteuid() != 0 and not host.has_subids()):
        pytest.skip("this machine lacks programs that a build needs; run scripts/setup-vm")
    for place, variable in host.build_directories(tmp_path):
        if shutil.disk_usage(place).free < host.NEEDED_BYTES:
            pytest.skip(f"{place} has too little free space for a build ({variable})")
    count = tmp_path / "count"
    monkeypatch.setenv("COUNT", str(count))
    return count


def test_build_leaves_one_image_and_no_temporary_files(tmp_path, can_build):
    values: list[str] = []
    built = build.build(tmp_path / "cache", values.append)
    assert built == image.find(tmp_path / "cache")
    assert (built.manifest.python, built.manifest.kernel) == ("3.13", "6.12.1")
    assert built.manifest.packages == {"cloud-init": "25.1.4"}
    assert values == ["downloading packages with apt..."]
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {".lock", "build.log", recipe.digest()}
    assert build.build(tmp_path / "cache", values.append) == built
    assert can_build.read_text() == "once\n"


def test_concurrent_builders_make_one_image(tmp_path, can_build):
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


def test_damaged_image_is_built_again(tmp_path, can_build):
    built = build.build(tmp_path / "cache", lambda _: None)
    built.kernel.chmod(0o600)
    built.kernel.write_bytes(b"")
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
def test_failed_build_reports_the_reason_and_leaves_no_image(tmp_path, programs, words, told):
    program(programs, "mmdebstrap", f"printf root >/proc/self/fd/$ROOT\ncat >&2 <<'END'\n{words}\nEND\nexit 25")
    with pytest.raises(CloudError) as caught:
        build.build(tmp_path / "cache", lambda _: None)
    assert told in caught.value.message
    assert str(tmp_path / "cache" / "build.log") in caught.value.remedy
    assert image.find(tmp_path / "cache") is None
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [".lock", "build.log"]


def test_next_build_removes_files_of_a_killed_builder(tmp_path, can_build):
    left = tmp_path / "cache" / ".making-old"
    left.mkdir(parents=True)
    (left / image.ROOT).write_bytes(b"half")
    build.build(tmp_path / "cache", lambda _: None)
    assert not left.exists()
    assert can_build.exists()


@pytest.mark.usefixtures("qemu", "can_build")
def test_stopped_build_ends_its_processes_and_leaves_no_files(tmp_path, programs):
    program(programs, "mmdebstrap", 'echo "I: installing packages..." >&2\nsleep 100')
    answer = subprocess.Popen(
        [sys.executable, "-m", "localcloud", "image"],
        env=os.environ | {"LOCALCLOUD_CACHE": str(tmp_path / "cache"), "BUILD_OF": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert answer.stderr.readline().endswith("installing packages\n")
    answer.terminate()
    assert answer.communicate(timeout=120)[1] == "build stopped; its temporary files are removed\n"
    assert answer.returncode == 130
    wait_until(lambda: not marked_processes(tmp_path))
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
def test_user_without_subids_is_offered_unused_ones(held, first):
    assert host.free_subids(*held) == first


def mounts_below(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]


def test_killed_builder_leaves_no_process_and_no_mount(tmp_path, programs, can_build):
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
        wait_until(lambda: "installing" in (tmp_path / "said").read_text())
        assert marked_processes(tmp_path)
    finally:
        builder.kill()
        builder.wait(60)
    if os.geteuid() == 0:
        wait_until(lambda: not marked_processes(tmp_path))
        assert (tmp_path / "temporary").read_text().startswith(f"{tmp_path}/cache/.making-")
    else:
        # A plain user's mmdebstrap makes a PID namespace by itself; the fake one does not.
        for each in marked_processes(tmp_path):
            os.kill(int(each), signal.SIGKILL)
    assert mounts_below(tmp_path) == []
    program(programs, "mmdebstrap", MAKES)
    build.build(tmp_path / "cache", lambda _: None)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {".lock", "build.log", recipe.digest()}
    assert can_build.read_text() == "once\n"


def wait_until(condition) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def marked_processes(folder: Path) -> list[str]:
    """Return the ids of the processes that have the folder's mark in their environment."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if f"BUILD_OF={folder}\0".encode() in (each / "environ").read_bytes():
                found.append(each.name)
        except OSError:
            continue
    return found
