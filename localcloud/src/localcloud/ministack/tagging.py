"""MiniStack's Resource Groups Tagging API, for a service whose tags it does not keep."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

Tags = dict[str, str]


def replace_tags(
    service: str,
    collect: Callable[[], Iterable[tuple[str, Tags]]],
    exists: Callable[[str], bool],
    add: Callable[[str, Tags], None],
    remove: Callable[[str, list[str]], None],
) -> None:
    """Read and change the tags of a service's resources by these; each takes or yields an ARN."""
    tagging = importlib.import_module("ministack.services.tagging")

    def collected() -> Iterable[Any]:
        for arn, tags in collect():
            yield arn, [{"Key": key, "Value": value} for key, value in tags.items()]

    def check(arn: str) -> None:
        if not exists(arn):
            raise tagging._ResourceNotFound(arn)

    def write(_: Any, arn: str, tags: Tags) -> None:
        check(arn)
        add(arn, tags)

    def delete(_: Any, arn: str, keys: Iterable[str]) -> None:
        check(arn)
        remove(arn, list(keys))

    tagging._COLLECTORS[service] = collected
    tagging._WRITERS[service] = write
    tagging._REMOVERS[service] = delete
