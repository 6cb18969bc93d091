"""Which disks are the instance's own NVMe store, and how apt is told to wait."""

from __future__ import annotations

from pathlib import Path

from dayfly.remote.agent import apt, disks


def disk(root: Path, name: str, sectors: int, link: str, *partitions: str) -> None:
    """Make a disk as udev and sysfs show it."""
    (root / "dev").mkdir(exist_ok=True)
    (root / "by-id").mkdir(exist_ok=True)
    for each in (name, *partitions):
        (root / "dev" / each).touch()
        (root / "sys" / each).mkdir(parents=True)
        (root / "sys" / each / "size").write_text(f"{sectors}\n")
    for each in partitions:
        (root / "sys" / each / "partition").write_text("1\n")
        (root / "sys" / name / each).mkdir()
        (root / "sys" / name / each / "partition").write_text("1\n")
    (root / "by-id" / link).symlink_to(root / "dev" / name)


def found(root: Path) -> list[str]:
    return [Path(path).name for path in disks.instance_stores(str(root / "by-id"), str(root / "sys"))]


STORE = "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS"


def test_largest_instance_store_comes_first_and_volumes_are_left_alone(tmp_path: Path) -> None:
    disk(tmp_path, "nvme0n1", 4_000, "nvme-Amazon_Elastic_Block_Store_vol0abc", "nvme0n1p1")
    disk(tmp_path, "nvme1n1", 1_000, STORE + "111")
    disk(tmp_path, "nvme2n1", 2_000, STORE + "222")
    (tmp_path / "by-id" / (STORE + "222_1")).symlink_to(tmp_path / "dev" / "nvme2n1")
    assert found(tmp_path) == ["nvme2n1", "nvme1n1"]


def test_disk_with_partitions_and_link_to_nothing_are_not_used(tmp_path: Path) -> None:
    disk(tmp_path, "nvme1n1", 1_000, STORE + "111", "nvme1n1p1")
    (tmp_path / "by-id" / (STORE + "111-part1")).symlink_to(tmp_path / "dev" / "nvme1n1p1")
    (tmp_path / "by-id" / (STORE + "333")).symlink_to(tmp_path / "dev" / "gone")
    assert found(tmp_path) == []


def test_server_without_instance_store_has_its_scratch_on_the_root_disk(tmp_path: Path) -> None:
    assert disks.instance_stores(str(tmp_path / "none")) == []


def test_apt_waits_for_its_lock(tmp_path: Path) -> None:
    apt.make_way(str(tmp_path))
    assert (tmp_path / "99dayfly").read_text() == 'DPkg::Lock::Timeout "600";\n'
    apt.make_way(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
