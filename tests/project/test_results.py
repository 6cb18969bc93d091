"""Downloading the files of a run: what a record may not name, what must arrive whole, what stays when it does not."""

from __future__ import annotations

import hashlib

import pytest

from dayfly.core.records import Output
from dayfly.errors import FileError, NotFoundError, UnfinishedError
from dayfly.project.runs import results
from model.cloud import ModelCloud

PREFIX = "out/pi/2026-11-24T22:41:00Z/1/R:i-1/"


def stored(path: str, body: bytes) -> Output:
    key = f"{PREFIX}output/{path}"
    return Output(path=path, key=key, size=len(body), sha256=hashlib.sha256(body).hexdigest())


def fetch(cloud: ModelCloud, outputs: list[Output], to) -> None:
    with results.arriving(to) as folder:
        cloud.run(results.fetch(outputs, folder, PREFIX))


@pytest.fixture
def cloud():
    return ModelCloud(objects={f"{PREFIX}output/a.txt": b"a", f"{PREFIX}output/b/c.txt": b"c"})


def test_files_arrive_whole_under_their_paths(cloud, tmp_path):
    fetch(cloud, [stored("a.txt", b"a"), stored("b/c.txt", b"c")], tmp_path / "to")
    assert (tmp_path / "to/a.txt").read_bytes() == b"a"
    assert (tmp_path / "to/b/c.txt").read_bytes() == b"c"
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "out/../../evil", "", "a\0b"])
def test_path_outside_the_folder_is_refused_before_any_call(path, cloud, tmp_path):
    output = Output(path=path, key=f"{PREFIX}output/a.txt", size=1, sha256="00")
    with pytest.raises(UnfinishedError, match="outside its folder"):
        fetch(cloud, [stored("a.txt", b"a"), output], tmp_path / "to")
    assert cloud.calls_answered == 0
    assert list(tmp_path.iterdir()) == []


def test_object_of_another_run_is_refused(cloud, tmp_path):
    output = Output(path="a.txt", key="out/other/2026-11-24T22:41:00Z/1/R:i-1/output/a.txt", size=1, sha256="00")
    with pytest.raises(UnfinishedError, match="object of another"):
        fetch(cloud, [output], tmp_path / "to")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "error"), [(stored("a.txt", b"b"), UnfinishedError), (stored("gone.txt", b"x"), NotFoundError)]
)
def test_file_that_differs_or_is_gone_leaves_the_old_folder(output, error, cloud, tmp_path):
    fetch(cloud, [stored("b/c.txt", b"c")], tmp_path / "to")
    with pytest.raises(error):
        fetch(cloud, [stored("b/c.txt", b"c"), output], tmp_path / "to")
    assert [path.name for path in tmp_path.iterdir()] == ["to"]
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["b"]


def test_folder_that_cannot_be_written_is_named(cloud, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        fetch(cloud, [stored("a.txt", b"a")], tmp_path / "file" / "to")
