"""Failures of single resources of stacks, which a test asks for: on AWS only AWS makes the creation of a resource fail.

A resource whose creation fails rolls its stack back; one whose deletion fails in that rollback leaves the stack in
ROLLBACK_FAILED, or in DELETE_FAILED when the stack is deleted.
"""

import fnmatch
from dataclasses import dataclass, replace

OPERATIONS = ("create", "update", "delete")
_REASON = "Internal Failure"


@dataclass(frozen=True)
class Failure:
    """One failure that a test asked for: of the operations on a resource of matching stacks, `skip` succeed, then `count` fail."""

    logical_id: str
    operation: str
    stack: str = "*"
    skip: int = 0
    count: int = 1
    reason: str = _REASON


class Failures:
    """The failures that are still to happen."""

    def __init__(self) -> None:
        self.left: list[Failure] = []

    def add(self, failure: Failure) -> None:
        """Let matching operations fail."""
        self.left.append(failure)

    def clear(self) -> None:
        """Forget all failures that have not happened."""
        self.left.clear()

    def check(self, operation: str, stack: str, logical_id: str) -> None:
        """Raise ValueError when this operation is to fail, and count it."""
        for place, one in enumerate(self.left):
            wanted = (one.operation, one.logical_id) == (operation, logical_id)
            if wanted and fnmatch.fnmatchcase(stack, one.stack):
                self._count(place, one)
                return

    def _count(self, place: int, one: Failure) -> None:
        if one.skip:
            self.left[place] = replace(one, skip=one.skip - 1)
            return
        self.left[place : place + 1] = [replace(one, count=one.count - 1)] if one.count > 1 else []
        raise ValueError(one.reason)
