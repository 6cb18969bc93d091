"""The stock images that AWS's public parameters name, with ids of this cloud, the same in every state directory.

Values only. The tags of an image, which EC2 adds, tell what a guest of it really runs.
"""

import hashlib
from dataclasses import dataclass

X86, ARM = "x86_64", "arm64"


@dataclass(frozen=True)
class Image:
    """One image in one region. `size` is its root volume in GiB; `parameters` are its public SSM names."""

    id: str
    name: str
    description: str
    architecture: str
    owner: str
    owner_alias: str
    root_device: str
    size: int
    created: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class _Kind:
    name: str
    description: str
    owner: str
    alias: str
    device: str
    size: int
    created: str
    architectures: tuple[str, str]
    """The image's own names of x86_64 and arm64."""
    parameters: tuple[str, ...]


_DEBIAN = "136693071363"
_CANONICAL = "099720109477"
_AMAZON = "137112412989"
_DEBIAN_NAMES = ("amd64", "arm64")
_KINDS = (
    _Kind(
        "debian-12-{architecture}-20261027-2277",
        "Debian 12 ({architecture})",
        _DEBIAN,
        "",
        "/dev/xvda",
        8,
        "2026-10-27T06:10:23.000Z",
        _DEBIAN_NAMES,
        ("/aws/service/debian/release/12/latest/{architecture}",),
    ),
    _Kind(
        "debian-13-{architecture}-20261027-2277",
        "Debian 13 ({architecture})",
        _DEBIAN,
        "",
        "/dev/xvda",
        8,
        "2026-10-27T06:12:41.000Z",
        _DEBIAN_NAMES,
        ("/aws/service/debian/release/13/latest/{architecture}",),
    ),
    _Kind(
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{architecture}-server-20261015",
        "Canonical, Ubuntu, 24.04 LTS, {architecture} noble image",
        _CANONICAL,
        "",
        "/dev/sda1",
        8,
        "2026-10-15T04:21:07.000Z",
        _DEBIAN_NAMES,
        ("/aws/service/canonical/ubuntu/server/24.04/stable/current/{architecture}/hvm/ebs-gp3/ami-id",),
    ),
    _Kind(
        "al2023-ami-2023.9.20261019.0-kernel-6.18-{architecture}",
        "Amazon Linux 2023 AMI 2023.9.20261019.0 {architecture} HVM kernel-6.18",
        _AMAZON,
        "amazon",
        "/dev/xvda",
        8,
        "2026-10-19T22:40:12.000Z",
        ("x86_64", "arm64"),
        ("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}",),
    ),
)


def images(region: str) -> list[Image]:
    """Return every stock image of a region."""
    found = []
    for kind in _KINDS:
        for architecture, name_part in zip((X86, ARM), kind.architectures, strict=True):
            name = kind.name.format(architecture=name_part)
            digest = hashlib.sha256(f"{region} {name}".encode()).hexdigest()
            found.append(
                Image(
                    id=f"ami-0{digest[:16]}",
                    name=name,
                    description=kind.description.format(architecture=name_part),
                    architecture=architecture,
                    owner=kind.owner,
                    owner_alias=kind.alias,
                    root_device=kind.device,
                    size=kind.size,
                    created=kind.created,
                    parameters=tuple(parameter.format(architecture=name_part) for parameter in kind.parameters),
                )
            )
    return found


def by_id(region: str, image: str) -> Image | None:
    """Return the stock image with that id, or None."""
    return next((one for one in images(region) if one.id == image), None)


def parameters(region: str) -> dict[str, str]:
    """Return the public SSM parameters of a region: name to image id."""
    return {name: image.id for image in images(region) for name in image.parameters}
