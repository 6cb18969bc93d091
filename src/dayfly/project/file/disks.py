"""Validate and convert the key `disk` of a job: a size, or a table with a size and the speed of the volume.

The volume is of type gp3. Its limits are EC2's: https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from dayfly.project.file import values

FORM = r"([0-9]{1,5})\s*(GB|TB)"
"""A regular expression that matches a size."""
THROUGHPUT = (125, 2_000)
"""MiB/s: what every gp3 volume has, and the most."""
IOPS = (3_000, 80_000)
_IOPS_PER_MIB = 4
"""A volume needs so many IOPS for each MiB/s."""
_IOPS_PER_GB = 500
_WHOLE_IN = 2
"""A volume of which only the size is given gets a MiB/s for so many GB: to read or write all of it takes about 35 minutes."""
_FREE_OF_IOPS = IOPS[0] // _IOPS_PER_MIB
"""MiB/s that need no more IOPS than every volume has."""
EXAMPLE = '{ size = "500GB", throughput = 500, iops = 3000 }'


class Disk(NamedTuple):
    """A root volume: its size in GB, and throughput in MiB/s and IOPS where these differ from what every gp3 volume has."""

    gb: int
    throughput: int | None = None
    iops: int | None = None


def disk(value: Any) -> Disk:
    """Return the disk that a size or a table describes."""
    if not isinstance(value, dict):
        return _of_size(_size(value))
    unknown = sorted(value.keys() - {"size", "throughput", "iops"})
    if unknown:
        raise values.Invalid(f"has no key {values.shown(unknown[0])}", EXAMPLE)
    if "size" not in value:
        raise values.Invalid("has no size", EXAMPLE)
    gb = _size(value["size"])
    if len(value) == 1:
        return _of_size(gb)
    throughput = _number(value, "throughput", "MiB/s", THROUGHPUT)
    least = max(IOPS[0], throughput * _IOPS_PER_MIB)
    iops = _number({"iops": least, **value}, "iops", "IOPS", IOPS)
    if iops < least:
        why = f"EC2 gives a volume a MiB/s for each {_IOPS_PER_MIB} IOPS"
        raise values.Invalid(f"{throughput} MiB/s need at least {least:,} IOPS", f"iops = {least}", why=why)
    most = max(IOPS[0], gb * _IOPS_PER_GB)
    if iops > most:
        why = f"EC2 gives a volume at most {_IOPS_PER_GB} IOPS for each GB"
        raise values.Invalid(f"{gb} GB have at most {most:,} IOPS, not {iops:,}", "a larger size", why=why)
    return _disk(gb, throughput, iops)


def _of_size(gb: int) -> Disk:
    """Return a disk with the speed that fits its size."""
    return _disk(gb, min(_FREE_OF_IOPS, max(THROUGHPUT[0], gb // _WHOLE_IN)), IOPS[0])


def _disk(gb: int, throughput: int, iops: int) -> Disk:
    """Return a disk. What every volume has is left out, so that a job version without it keeps its key."""
    found = Disk(gb)
    if throughput != THROUGHPUT[0]:
        found = found._replace(throughput=throughput)
    if iops != IOPS[0]:
        found = found._replace(iops=iops)
    return found


def _size(value: Any) -> int:
    """Return a size in GB."""
    text = values.string(value)
    found = re.fullmatch(FORM, text)
    if not found:
        raise values.Invalid(f'"{text}" is not a size like "50GB"')
    size = int(found[1]) * {"GB": 1, "TB": 1000}[found[2]]
    if not 8 <= size <= 16_000:
        raise values.Invalid(f'"{text}" is not 8GB to 16TB')
    return size


def _number(table: dict[str, Any], name: str, unit: str, bounds: tuple[int, int]) -> int:
    """Return a whole number of a table, within bounds; the lower bound if it is not given."""
    least, most = bounds
    number = table.get(name, least)
    if isinstance(number, bool) or not isinstance(number, int):
        raise values.Invalid(
            f"{name} is a whole number of {unit}, not {values.kind(number)}: {values.shown(number)}",
            f"{name} = {least}",
        )
    if not least <= number <= most:
        raise values.Invalid(f"{name} {number:,} is not {least:,} to {most:,} {unit}", EXAMPLE)
    return number
