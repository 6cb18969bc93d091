"""QEMU's command line and its monitor's messages, without a boot."""

import asyncio
import json
import platform
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from localcloud.guests import disks
from localcloud.guests.guest import Hardware
from localcloud.guests.sockets import GuestSockets
from localcloud.guests.vm import qemu, qmp
from localcloud.guests.vm.backend import _backing_file
from running_cloud import command

HARDWARE = Hardware(
    "t3.micro", 2, 1024, "vol-0123456789abcdef0", 8, "0a:01:02:03:04:05", "172.31.0.0/20", "ec2.internal"
)
FORWARDERS = (("/usr/bin/python3", "-c", "go(1, 2)", "/state dir", "m"), ("carry", "e"))


def line(
    link: qemu.Link,
    accelerator: str = "tcg",
    disk: str = "/state/disk.qcow2",
    version: str = "7.2.22",
    stores: tuple[Path, ...] = (),
) -> dict[str, list[str]]:
    """Return QEMU's command line as a mapping of option to values."""
    machine = qemu.Machine(
        "/usr/bin/qemu", version, Path("/image/vmlinuz"), "root=/dev/x", accelerator, 2, 512, Path(disk), 7, stores
    )
    words = qemu.command(machine, "i-0123456789abcdef0", "ip-172-31-0-10", "172.31.0.10", HARDWARE, link)
    assert words[0] == "/usr/bin/qemu"
    found: dict[str, list[str]] = {}
    for number, word in enumerate(words):
        if word.startswith("-"):
            found.setdefault(word, []).append(words[number + 1] if number + 1 < len(words) else "")
    return found


def test_guest_in_a_namespace_has_its_instances_address() -> None:
    net = line(qemu.Link(4566))["-netdev"][0].split(",")
    assert "net=172.31.0.0/20" in net
    assert "dhcpstart=172.31.0.10" in net
    assert not [word for word in net if word.startswith(("guestfwd", "restrict"))]
    assert line(qemu.Link(4566))["-sandbox"][0].count("deny") == 4


def test_without_namespaces_only_metadata_and_cloud_are_reachable() -> None:
    answer = line(qemu.Link(4566, FORWARDERS))
    net = answer["-netdev"][0]
    assert "net=169.254.0.0/16" in net
    assert "dhcpstart=169.254.0.10" in net
    assert "restrict=on" in net
    assert "guestfwd=tcp:169.254.169.254:80-cmd:/usr/bin/python3 -c 'go(1,, 2)' '/state dir' m" in net
    assert net.endswith("guestfwd=tcp:169.254.0.3:4566-cmd:carry e")
    assert "spawn=allow" in answer["-sandbox"][0]
    assert "restrict=off" in line(qemu.Link(4566, FORWARDERS, internet=True))["-netdev"][0]


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("172.31.0.10", "169.254.0.10"),
        ("10.0.169.254", "169.254.1.1"),
        ("10.1.0.1", "169.254.1.1"),
        ("10.1.0.3", "169.254.1.1"),
    ],
)
def test_link_local_address_is_never_a_reserved_one(address: str, own: str) -> None:
    assert qemu.link_local(address) == own


def test_instance_storage_is_beside_the_root_volume(tmp_path: Path) -> None:
    paths = disks.stores(tmp_path, (118, 237))
    assert [path.stat().st_size for path in paths] == [118_000_000_000, 237_000_000_000]
    assert sum(path.stat().st_blocks for path in paths) == 0
    paths[0].write_bytes(b"kept")
    assert disks.stores(tmp_path, (118, 237))[0].read_bytes() == b"kept"
    answer = line(qemu.Link(1), stores=tuple(paths))
    assert [word.split(",")[0] for word in answer["-drive"][1:]] == [f"file={path}" for path in paths]
    devices = [word for word in answer["-device"] if word.startswith("nvme")]
    assert devices[0].startswith("nvme,id=nvme,drive=root,")
    assert devices[1:] == ["nvme-ns,drive=store0,bus=nvme,nsid=2", "nvme-ns,drive=store1,bus=nvme,nsid=3"]
    disks.remove_stores(tmp_path)
    assert not list(tmp_path.iterdir())


def test_command_line_of_the_kernel_fits() -> None:
    longest = qemu.kernel_command_line("root=/dev/nvme0n1 rw console=ttyS0", 65535, grow=True, has_stores=True)
    # Linux on x86 cuts a longer one off.
    assert len(longest) < 2048
    assert "Instance_Storage" not in qemu.kernel_command_line("root=/dev/nvme0n1", 65535, grow=True)


def test_firmware_identifies_as_ec2() -> None:
    bios = dict(pair.split("=", 1) for pair in line(qemu.Link(1))["-smbios"][1].split(","))
    assert bios["manufacturer"] == "Amazon EC2"
    assert bios["uuid"].startswith("ec2")
    assert bios["serial"] == bios["uuid"]


@pytest.mark.parametrize(("version", "thread"), [("7.2.22", "single"), ("8.1.0", "multi"), ("10.0.2", "multi")])
def test_old_qemu_runs_all_cpus_on_one_thread(version: str, thread: str) -> None:
    assert line(qemu.Link(1), version=version)["-accel"] == [f"tcg,tb-size=128,thread={thread}"]
    assert line(qemu.Link(1), accelerator="kvm", version=version)["-accel"] == ["kvm"]


def test_comma_in_a_path_is_escaped() -> None:
    assert line(qemu.Link(1), disk="/a,readonly=on/disk.qcow2")["-drive"][0].startswith("file=/a,,readonly=on/disk")


def test_kernel_command_line_fits_and_is_one_shell_argument() -> None:
    words = qemu.kernel_command_line("root=/dev/nvme0n1 rw", 65535, grow=True)
    assert len(words) < 2048
    assert "resize2fs" in words
    assert "resize2fs" not in qemu.kernel_command_line("root=/dev/nvme0n1 rw", 65535, grow=False)
    assert words.count('"') == 2
    assert "AWS_ENDPOINT_URL=http://169.254.0.3:65535 " in words


def test_guest_size_is_limited_by_this_machine() -> None:
    small, large = qemu.Capacity(1, 2000), qemu.Capacity(16, 64000)
    nano = Hardware("c7g.medium", 1, 256, "", 8, "", "", "")
    giant = Hardware("r7i.48xlarge", 192, 1572864, "", 8, "", "", "")
    assert small.guests("tcg") == 1
    assert small.allot(giant, "tcg", 1) == (1, 1200)
    assert small.allot(nano, "tcg", 1) == (1, 512)
    assert large.guests("tcg") == 16
    assert large.allot(nano, "tcg", 16) == (2, 512)
    assert large.allot(giant, "kvm", 4) == (16, 11900)
    assert qemu.Capacity(16, 900).guests("kvm") == 1


def test_qmp_stream_is_split_into_messages() -> None:
    values = [
        {"launcher": "sockets"},
        {"QMP": {"version": {}, "capabilities": []}},
        {"return": {}, "id": "qmp_capabilities"},
        {"return": {"status": "running", "running": True}, "id": "query-status"},
        {"error": {"class": "GenericError", "desc": "no"}, "id": "quit"},
        {"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-reset"}, "timestamp": {}},
        {"event": "POWERDOWN"},
    ]
    stream = b"\r\n".join(json.dumps(one).encode() for one in values) + b"\r\nnot a message\n[1]\n" + b'{"event": "RES'
    for size in (1, 7, 4096):
        reader = qmp.Reader()
        found = [one for start in range(0, len(stream), size) for one in reader.feed(stream[start : start + size])]
        assert [(one.kind, one.name) for one in found] == [
            ("launcher", "sockets"),
            ("greeting", ""),
            ("answer", "qmp_capabilities"),
            ("answer", "query-status"),
            ("error", "quit"),
            ("event", "SHUTDOWN"),
            ("event", "POWERDOWN"),
        ]
        assert found[5].data["reason"] == "guest-reset"
    assert json.loads(qmp.command("set_link", name="net")) == {
        "execute": "set_link",
        "id": "set_link",
        "arguments": {"name": "net"},
    }


@pytest.mark.parametrize(
    ("drives", "refused"),
    [
        ([], 0),
        ([{"device": "root", "stats": {"failed_wr_operations": 0, "failed_rd_operations": 4}}], 0),
        ([{"device": "root", "stats": {"failed_wr_operations": 3}}, {"device": "other"}, 7], 3),
    ],
)
def test_failed_disk_writes_are_counted(drives: list[object], refused: int) -> None:
    reply = json.dumps({"return": drives, "id": "query-blockstats"}).encode() + b"\n"
    [answer] = qmp.Reader().feed(reply)
    assert (answer.kind, answer.name) == ("answer", "query-blockstats")
    assert qmp.failed_writes(answer) == refused


def test_backing_file_is_read_from_the_qcow2_header(tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    assert _backing_file(disk) is None
    disk.write_bytes(struct.pack(">4sIQI", b"QFI\xfb", 3, 32, 16).ljust(32, b"\0") + b"/image/root.ext4rest")
    assert _backing_file(disk) == Path("/image/root.ext4")
    disk.write_bytes(b"something else that is long enough")
    assert _backing_file(disk) is None


async def no_metadata(instance: str, listener: socket.socket) -> Callable[[], None]:
    """Serve no metadata: only close the socket at the end."""
    del instance
    return listener.close


def test_socket_works_below_a_path_longer_than_the_limit(tmp_path: Path) -> None:

    place = tmp_path / ("long" * 30)
    place.mkdir()

    async def scenario() -> None:
        sockets = GuestSockets("i-1", 1, no_metadata, place)
        await sockets.open()
        assert sorted(one.name for one in place.iterdir()) == ["endpoint.sock", "metadata.sock"]
        sockets.close()
        assert not list(place.iterdir())

    asyncio.run(scenario())


@pytest.mark.cloud
def test_machine_without_vm_support_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALCLOUD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command(tmp_path / "state", "up", "--json", "--guests", "vm")
    assert done.returncode == 1
    assert "which is not installed" in json.loads(done.stdout)["error"]
    (tmp_path / "qemu-img").touch(0o755)
    (tmp_path / f"qemu-system-{platform.machine()}").touch(0o755)
    done = command(tmp_path / "state", "up", "--json", "--guests", "vm")
    assert done.returncode == 1
    assert "python -m localcloud image" in json.loads(done.stdout)["remedy"]
