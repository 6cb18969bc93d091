"""The input of a stack's template that the tests of this folder share."""

from __future__ import annotations

from dataclasses import replace

from dayfly.core.model import Image
from dayfly.core.notification import Receivers
from dayfly.project.stack.given import ServerKind, StackInput

DEBIAN = Image(
    name="debian-13",
    architecture="arm64",
    image_id="resolve:ssm:/aws/service/debian/release/13/latest/arm64",
    root_device="/dev/xvda",
    owner="136693071363",
)
GIVEN = StackInput(
    project="lake",
    bucket="dayfly-lake-123456789012-eu-west-1",
    tags={"CostCenter": "lake"},
    permissions_boundary="arn:aws:iam::123456789012:policy/dev",
    keep_s=90 * 86_400,
    kinds=(
        ServerKind(image=DEBIAN),
        ServerKind(image=replace(DEBIAN, architecture="x86_64")),
        ServerKind(image=replace(DEBIAN, name="ami-0123456789abcdef0", image_id="ami-0123456789abcdef0")),
    ),
    user_data="aGVsbG8=",
    launcher_zip="functions/a.zip",
    sweeper_zip="functions/b.zip",
    vpc="vpc-0123456789abcdef0",
    security_groups=(),
    public_ip=True,
    notify=Receivers(addresses=("data@acme.example", "https://hooks.example/x")),
)
