"""Read the job's secrets as the server's role, just before the command starts. Their values are only in memory and in its environment.

`go.json` says where each is: `ssm:/path` (Systems Manager), `secretsmanager:NAME` or `secretsmanager:NAME#KEY` (of a JSON object).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Callable

from dayfly.remote.agent.api import Api
from dayfly.remote.agent.masking import SHORTEST
from dayfly.remote.agent.outcome import NotStarted
from dayfly.remote.agent.s3 import Refused


class _Unusable(Exception):
    """A secret was read and cannot be given to the command. The text says why, and never the value."""


def fetch(secrets: Mapping[str, str], service: Callable[[str], Api], until: float) -> dict[str, str]:
    """Return the values by the name of their variable. `service` returns the API of that name.

    Raises NotStarted (`no-secret`), which names the secret and AWS's code.
    """
    apis: dict[str, Api] = {}
    found = {}
    for name, place in sorted(secrets.items()):
        kind, _, rest = place.partition(":")
        try:
            if kind not in _READERS:
                raise _Unusable("is neither ssm: nor secretsmanager:")
            if kind not in apis:
                apis[kind] = service(kind)
            found[name] = _usable(_READERS[kind](apis[kind], rest, until))
        except Refused as problem:
            raise NotStarted("no-secret", f"{name} ({place}): {problem.code}: {problem.text}") from problem
        except _Unusable as problem:
            raise NotStarted("no-secret", f"{name} ({place}) {problem}") from problem
    return found


def _parameter(api: Api, name: str, until: float) -> object:
    answer = api.json("AmazonSSM.GetParameter", {"Name": name, "WithDecryption": True}, until)
    return answer.get("Parameter", {}).get("Value")


def _secret(api: Api, name: str, until: float) -> object:
    name, _, key = name.partition("#")
    value = api.json("secretsmanager.GetSecretValue", {"SecretId": name}, until).get("SecretString")
    if not key or not isinstance(value, str):
        return value
    try:
        fields = json.loads(value)
    except ValueError:
        raise _Unusable("is not JSON, so it has no such key") from None  # the error's own text shows the value
    if not isinstance(fields, dict) or key not in fields:
        raise _Unusable("is JSON, but has no such key")
    held = fields[key]
    if isinstance(held, (dict, list)):
        return json.dumps(held)
    if isinstance(held, (bool, int, float)):
        return json.dumps(held)
    return held


_READERS: Mapping[str, Callable[[Api, str, float], object]] = {"ssm": _parameter, "secretsmanager": _secret}


def _usable(value: object) -> str:
    """Return the value if it can be a variable that the log masks. Raises _Unusable."""
    if not isinstance(value, str):
        raise _Unusable("has no text")
    if len(value.strip()) < SHORTEST:
        raise _Unusable(f"has fewer than {SHORTEST} characters, so the log could not mask it")
    if "\0" in value:
        raise _Unusable("has a zero byte, which no variable can hold")
    return value
