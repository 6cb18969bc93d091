"""The schedules, groups and tags of every account and region, by ARN. When a schedule is due does not belong here.

The state's file is written by localcloud.ministack.store, which calls `read`, and `load` with what an earlier cloud wrote.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

Fields = dict[str, Any]
"""A schedule or a group as the API shows it; dates are seconds of the epoch."""

DEFAULT_GROUP = "default"


@dataclass
class Schedule:
    """A schedule; `token` is its ClientToken, `done` means that it will never be due again."""

    fields: Fields
    token: str | None = None
    done: bool = False


@dataclass(frozen=True)
class Place:
    """An account and a region, whose schedules have ARNs of their own."""

    account: str
    region: str

    def schedule(self, group: str, name: str) -> str:
        """Return the ARN of a schedule."""
        return f"{self._prefix}schedule/{group}/{name}"

    def group(self, name: str) -> str:
        """Return the ARN of a group."""
        return f"{self._prefix}schedule-group/{name}"

    def holds(self, arn: str) -> bool:
        """Return whether an ARN is one of this place."""
        return arn.startswith(self._prefix)

    @property
    def _prefix(self) -> str:
        return f"arn:aws:scheduler:{self.region}:{self.account}:"


def place_of(arn: str) -> Place:
    """Return the account and the region in an ARN."""
    _, _, _, region, account, *_ = arn.split(":")
    return Place(account, region)


class Schedules:
    """What Scheduler keeps. `schedules`, `groups` and `tags` are by ARN and may be changed by their users."""

    def __init__(self) -> None:
        self.schedules: dict[str, Schedule] = {}
        self.groups: dict[str, Fields] = {}
        self.tags: dict[str, dict[str, str]] = {}

    def schedules_of(self, place: Place) -> Iterator[Schedule]:
        """Yield the schedules of an account and region."""
        return (one for arn, one in list(self.schedules.items()) if place.holds(arn))

    def groups_of(self, place: Place, now: float) -> Iterator[Fields]:
        """Yield the groups of an account and region, the default one included."""
        self.group(place, DEFAULT_GROUP, now)
        return (one for arn, one in list(self.groups.items()) if place.holds(arn))

    def group(self, place: Place, name: str, now: float) -> Fields | None:
        """Return a group; the default one is created when it is first asked for."""
        if name == DEFAULT_GROUP and place.group(name) not in self.groups:
            self.add_group(place, name, now)
        return self.groups.get(place.group(name))

    def add_group(self, place: Place, name: str, now: float) -> Fields:
        """Create a group and return it."""
        arn = place.group(name)
        dates = {"CreationDate": now, "LastModificationDate": now}
        return self.groups.setdefault(arn, {"Arn": arn, "Name": name, "State": "ACTIVE"} | dates)

    def remove(self, arn: str) -> None:
        """Delete a schedule, or a group with its schedules, and their tags; nothing for what does not exist."""
        group = self.groups.pop(arn, None)
        if group is not None:
            members = self.schedules_of(place_of(arn))
            for member in [one.fields["Arn"] for one in members if one.fields["GroupName"] == group["Name"]]:
                self.remove(member)
        self.schedules.pop(arn, None)
        self.tags.pop(arn, None)

    def exists(self, arn: str) -> bool:
        """Return whether a schedule or a group has that ARN."""
        return arn in self.schedules or arn in self.groups

    def tags_of(self, place: Place) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the tagged ARNs of an account and region with their tags."""
        return ((arn, tags) for arn, tags in list(self.tags.items()) if place.holds(arn))

    def tag(self, arn: str, tags: dict[str, str]) -> None:
        """Add tags to a schedule or a group, in place of those with the same keys."""
        self.set_tags(arn, self.tags.get(arn, {}) | tags)

    def untag(self, arn: str, keys: list[str]) -> None:
        """Remove tags from a schedule or a group."""
        self.set_tags(arn, {key: value for key, value in self.tags.get(arn, {}).items() if key not in keys})

    def set_tags(self, arn: str, tags: dict[str, str]) -> None:
        """Replace all tags of a schedule or a group."""
        self.tags[arn] = tags
        if not tags:
            del self.tags[arn]

    def read(self) -> dict[str, Any]:
        """Return everything in values that JSON has."""
        return {
            "schedules": [asdict(one) for one in list(self.schedules.values())],
            "groups": list(self.groups.values()),
            "tags": dict(self.tags),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take what an earlier cloud's `read` returned. Raises KeyError or TypeError for anything else."""
        schedules = [Schedule(**one) for one in state["schedules"]]
        self.schedules = {one.fields["Arn"]: one for one in schedules}
        self.groups = {one["Arn"]: one for one in state["groups"]}
        self.tags = dict(state["tags"])
