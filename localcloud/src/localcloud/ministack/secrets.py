"""The parameters and secrets that MiniStack keeps, with the keys that they are under. Public parameters are in parameters.py."""

from typing import Any

from localcloud.ministack.requests import service

Record = dict[str, Any]


def parameter(name: str) -> Record | None:
    """Return MiniStack's own record of a parameter of the current region, by its name or ARN, with a version or without."""
    ssm = service("ssm")
    base, _ = ssm._split_selector(name)
    found: Record | None = ssm._lookup_parameter(base)[1]
    return found


def parameters_below(path: str, recursive: bool) -> list[Record]:
    """Return MiniStack's own records of the parameters below a path."""
    prefix = path.rstrip("/") + "/"
    below = [(name, found) for name, found in service("ssm")._parameters.items() if name.startswith(prefix)]
    return [found for name, found in below if recursive or "/" not in name.removeprefix(prefix)]


def secret(name: str) -> Record | None:
    """Return MiniStack's own record of a secret of the current region, by its name or ARN; or None."""
    found: Record | None = service("secretsmanager")._resolve(name)[1]
    return found


def key_state(key: str) -> str:
    """Return the state of a key, such as "Enabled" or "Disabled"; "" for one that does not exist."""
    found: Record | None = service("kms")._resolve_key(key)
    return "" if found is None else str(found["KeyState"])


def key_arn(key: str) -> str | None:
    """Return the ARN of a key by its id, ARN or alias; None for one that does not exist."""
    found: Record | None = service("kms")._resolve_key(key)
    return None if found is None else str(found["Arn"])
