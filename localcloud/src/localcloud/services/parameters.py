"""SSM's public parameters: the names of the stock images, in every region and in no account.

Which images there are is decided in images.py; parameters that users put stay MiniStack's.
"""

from localcloud.ministack import parameters, requests
from localcloud.services import images

_PUBLIC = "/aws/service/"


def install() -> None:
    """Let SSM answer for the stock images instead of MiniStack's own two."""
    parameters.replace_public(_PUBLIC, _listing)


def _listing() -> list[parameters.Parameter]:
    """Return every public parameter of the current request's region, as SSM describes it."""
    region = requests.region()
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
