"""The parameters that MiniStack's SSM keeps, and the public ones that it answers without keeping them."""

from collections.abc import Callable
from typing import Any

from localcloud.ministack.requests import service

Parameter = dict[str, Any]


def value(name: str) -> str | None:
    """Return the value of a parameter of the current account and region; None when there is none."""
    found = service("ssm")._parameters.get(name)
    if not found:
        return None
    return str(found["Value"])


def replace_public(prefix: str, listing: Callable[[], list[Parameter]]) -> None:
    """Answer for public parameters, whose names begin with `prefix`, by `listing` instead of MiniStack's own."""
    ssm = service("ssm")
    others = ssm._get_parameters_by_path

    def one(name: str) -> Parameter | None:
        return next((found for found in listing() if found["Name"] == name), None)

    def by_path(request: dict[str, Any]) -> Any:
        path = request.get("Path", "/").rstrip("/") + "/"
        if not path.startswith(prefix):
            return others(request)
        below = [found for found in listing() if found["Name"].startswith(path)]
        if not request.get("Recursive"):
            below = [found for found in below if "/" not in found["Name"][len(path) :]]
        return ssm.json_response({"Parameters": below})

    ssm._public_parameter = one
    ssm._get_parameters_by_path = by_path
