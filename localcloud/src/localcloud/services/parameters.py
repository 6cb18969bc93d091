"""SSM's public parameters: the names of the stock images, in every region and in no account.

Which images there are is images.py's; parameters that users put are MiniStack's.
"""

from typing import Any

from localcloud.ministack import seams
from localcloud.services import images

_PUBLIC = "/aws/service/"


def install() -> None:
    """Let MiniStack's SSM answer for our images instead of its own two."""
    ssm = seams.module("ssm")
    others = ssm._get_parameters_by_path

    def public(name: str) -> dict[str, Any] | None:
        return next((found for found in _all(ssm) if found["Name"] == name), None)

    def by_path(said: dict[str, Any]) -> Any:
        path = said.get("Path", "/").rstrip("/") + "/"
        if not path.startswith(_PUBLIC):
            return others(said)
        deep = bool(said.get("Recursive"))
        found = [
            parameter
            for parameter in _all(ssm)
            if parameter["Name"].startswith(path) and (deep or "/" not in parameter["Name"][len(path) :])
        ]
        return ssm.json_response({"Parameters": found})

    seams.put(ssm, "_public_parameter", public)
    seams.put(ssm, "_get_parameters_by_path", by_path)


def _all(ssm: Any) -> list[dict[str, Any]]:
    region = ssm.get_region()
    return [
        {
            "Name": name,
            "Type": "String",
            "Value": image,
            "Version": 1,
            "LastModifiedDate": 1793080823,
            "ARN": f"arn:aws:ssm:{region}::parameter{name}",
            "DataType": "text",
        }
        for name, image in images.parameters(region).items()
    ]
