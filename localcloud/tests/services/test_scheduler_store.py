"""What Scheduler keeps, without a cloud: groups, schedules and tags by ARN, and the state that outlives a cloud."""

import json

import pytest

from localcloud.services.scheduler.store import Place, Schedule, Schedules, place_of

HERE, THERE = Place("000000000000", "us-east-1"), Place("000000000000", "eu-west-1")


def add(store: Schedules, place: Place, group: str, name: str) -> str:
    arn = place.schedule(group, name)
    store.schedules[arn] = Schedule({"Arn": arn, "GroupName": group, "Name": name})
    return arn


def test_arn_holds_its_place() -> None:
    arn = HERE.schedule("kills", "one")
    assert arn == "arn:aws:scheduler:us-east-1:000000000000:schedule/kills/one"
    assert place_of(arn) == HERE
    assert place_of(THERE.group("kills")) == THERE
    assert HERE.holds(arn)
    assert not THERE.holds(arn)


def test_default_group_exists_without_being_created() -> None:
    store = Schedules()
    assert store.group(HERE, "other", 1.0) is None
    group = store.group(HERE, "default", 1.0)
    assert group is not None
    assert store.group(HERE, "default", 2.0) == group
    assert [one["Arn"] for one in store.groups_of(THERE, 3.0)] == [THERE.group("default")]


def test_removing_a_group_removes_its_schedules_and_their_tags() -> None:
    store = Schedules()
    store.add_group(HERE, "kills", 1.0)
    gone = add(store, HERE, "kills", "one")
    kept = [add(store, HERE, "kills-2", "one"), add(store, THERE, "kills", "one")]
    for arn in (gone, *kept, HERE.group("kills")):
        store.tag(arn, {"a": "b"})
    store.remove(HERE.group("kills"))
    assert list(store.schedules) == kept
    assert list(store.tags) == kept
    assert not store.exists(HERE.group("kills"))


def test_tags_are_added_replaced_and_removed() -> None:
    store = Schedules()
    arn = HERE.group("default")
    store.tag(arn, {"a": "1", "b": "2"})
    store.tag(arn, {"b": "3"})
    assert list(store.tags_of(HERE)) == [(arn, {"a": "1", "b": "3"})]
    assert list(store.tags_of(THERE)) == []
    store.untag(arn, ["a", "b", "none"])
    assert store.tags == {}


def test_state_outlives_a_cloud() -> None:
    store, again = Schedules(), Schedules()
    store.add_group(HERE, "kills", 1.0)
    arn = add(store, HERE, "kills", "one")
    store.schedules[arn].token, store.schedules[arn].done = "token", True
    store.tag(arn, {"a": "b"})
    again.load(json.loads(json.dumps(store.read())))
    assert (again.schedules, again.groups, again.tags) == (store.schedules, store.groups, store.tags)


@pytest.mark.parametrize("state", [{}, {"schedules": [{"wrong": 1}], "groups": [], "tags": {}}, []])
def test_unknown_state_is_refused(state: object) -> None:
    with pytest.raises((KeyError, TypeError)):
        Schedules().load(state)  # type: ignore[arg-type]
