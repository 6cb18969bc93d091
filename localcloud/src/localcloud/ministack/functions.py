"""MiniStack's Lambda: the records of functions, the calls that run them, and their logs.

How a function runs, and what happens to asynchronous events, is decided in services.functions.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from localcloud.ministack.requests import service

Record = dict[str, Any]
_PENDING = {"State": ("Pending", "Active"), "LastUpdateStatus": ("InProgress", "Successful")}


@dataclass(frozen=True)
class Function:
    """One version of a function, in MiniStack's own records: `config` is of that version, `base` of the function."""

    record: Record
    config: Record
    base: Record


def find(arn: str) -> Function | None:
    """Return a function by its ARN, with or without qualifier; None when it does not exist."""
    functions = _functions()
    record, config, _ = functions._get_func_record_for_ref(arn)
    if record is None or config is None:
        return None
    base, _, _ = functions._get_base_func_record_for_ref(arn)
    return Function(record, config, base or record)


def policy(arn: str) -> Any:
    """Return the resource policy of a function by its ARN, with or without qualifier; None when it has none."""
    base = _functions()._get_base_func_record_for_ref(arn)[0]
    return (base or {}).get("policy")


def named(name: str) -> Record:
    """Return MiniStack's own record of a function of the current account and region. Raises KeyError."""
    found: Record = _functions()._functions[name]
    return found


def forget(name: str) -> None:
    """Delete a function of the current account and region."""
    _functions()._functions.pop(name, None)


def run(function: Function, event: Any) -> Record:
    """Run one event in the current thread: {"body", "error", "function_error", "log"}, or {"throttle": True}."""
    functions = _functions()
    found: Record = functions._execute_function(
        functions._execution_record_for_config(function.record, function.config), event
    )
    return found


def send(function: Function, event: Any) -> None:
    """Hand an event to the queue of asynchronous events."""
    functions = _functions()
    functions.invoke_async_with_retry(functions._execution_record_for_config(function.record, function.config), event)


def replace_execution(execute: Callable[..., Record], write_log: Callable[..., None]) -> None:
    """Run functions by `execute` and write what they log by `write_log`, and make new functions ready at once."""
    functions = _functions()
    functions._execute_function_warm = execute
    functions._emit_lambda_logs = write_log
    functions._LAMBDA_STATE_TRANSITION_DELAY = 0.0


def replace_queue(accept: Callable[[Record, Any], None]) -> None:
    """Hand asynchronous events, each with its function's record, to `accept`."""
    _functions().invoke_async_with_retry = accept


def layer(attachment: Any) -> bytes | None:
    """Return the zip of a layer; None for one that does not exist."""
    found: bytes | None = _functions()._resolve_layer_zip(attachment)
    return found


def append_log(group: str, stream: str, lines: list[str], milliseconds: int) -> None:
    """Write lines to a log stream, which is created with its group when it does not exist."""
    logs = service("cloudwatch_logs")
    if group not in logs._log_groups:
        logs._log_groups[group] = {
            "arn": logs._make_group_arn(group),
            "creationTime": milliseconds,
            "retentionInDays": None,
            "tags": {},
            "subscriptionFilters": {},
            "streams": {},
        }
    empty = {
        "events": [],
        "uploadSequenceToken": "1",
        "creationTime": milliseconds,
        "firstEventTimestamp": None,
        "lastEventTimestamp": None,
        "lastIngestionTime": None,
    }
    events = [{"timestamp": milliseconds, "message": line, "ingestionTime": milliseconds} for line in lines]
    logs._append_log_events(logs._log_groups[group]["streams"].setdefault(stream, empty), events)


@contextlib.contextmanager
def restoring() -> Iterator[None]:
    """Restore the state of functions inside: code that no version uses is removed only at the end.

    MiniStack removes it before the new state is written, and a crash between the two would lose code that is in use.
    A function that was being created when the last cloud ended becomes ready, because nothing would finish its creation.
    """
    functions = _functions()
    prune = functions._prune_orphan_code_blobs
    functions._prune_orphan_code_blobs = _keep
    yield
    versions = list(_versions(functions))
    codes = [version["code_zip"] for version in versions if isinstance(version.get("code_zip"), bytes)]
    prune({hashlib.sha256(code).hexdigest() for code in codes})
    for version in versions:
        config = version.get("config") or {}
        for field, (pending, ready) in _PENDING.items():
            if config.get(field) == pending:
                config[field] = ready


def _keep(_: Any) -> None:
    """Remove nothing."""


def _versions(functions: Any) -> Iterator[Record]:
    for record in functions._functions.to_dict().values():
        yield record
        yield from record.get("versions", {}).values()


def _functions() -> Any:
    return service("lambda_svc")
