"""An entry of the store is complete or absent, also with two writers."""

from __future__ import annotations

from pathlib import Path

from dayfly.project.bundle import store


def prepare(folder: Path, entry: Path, module: str) -> None:
    with store.scratch_folder(folder) as scratch:
        (scratch / "site").mkdir()
        (scratch / "site" / module).write_text("")
        store.finish(scratch, entry, ["libs"])


def test_entry_is_complete_once_finished(tmp_path: Path) -> None:
    entry = tmp_path / store.entry_key("project", "a")
    assert not store.is_complete(entry)
    prepare(tmp_path, entry, "a.py")
    assert store.is_complete(entry)
    assert (store.read_wheels(entry), store.read_projects(entry)) == ([], ["libs"])
    assert list(tmp_path.iterdir()) == [entry]


def test_first_of_two_writers_stays(tmp_path: Path) -> None:
    entry = tmp_path / store.entry_key("project", "a")
    prepare(tmp_path, entry, "first.py")
    prepare(tmp_path, entry, "second.py")
    assert [path.name for path in (entry / "site").iterdir()] == ["first.py"]
    assert list(tmp_path.iterdir()) == [entry]


def test_key_depends_on_every_part_and_where_it_ends() -> None:
    keys = {store.entry_key("project", *parts) for parts in [("ab",), ("a", "b"), ("a", b"b"), ("b", "a")]}
    assert len(keys) == 3
