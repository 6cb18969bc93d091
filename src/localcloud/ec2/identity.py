"""What an instance may learn about itself: the facts and the role credentials that its metadata service hands out.

How they are asked over HTTP is metadata.py.
"""

import base64
import datetime
from typing import Any

from localcloud import roles
from localcloud.clock import Clock
from localcloud.ec2 import show
from localcloud.ec2.network import Network
from localcloud.ec2.records import Book
from localcloud.metadata import Facts

_EARLY = 1800.0
"""Credentials are made anew this many seconds before they end, so a reader always gets some that last."""


class Identity:
    """Facts and credentials by instance id."""

    def __init__(self, account: str, book: Book, network: Network, clock: Clock) -> None:
        self._account = account
        self._book = book
        self._network = network
        self._clock = clock
        self._sessions: dict[str, roles.Session] = {}
        self._notices: dict[str, dict[str, str]] = {}
        self._rebalances: dict[str, str] = {}

    def notice(self, instance: str, said: dict[str, str] | None) -> None:
        """Set or take back the spot notice of an instance."""
        if said is None:
            self._notices.pop(instance, None)
        else:
            self._notices[instance] = said

    def rebalance(self, instance: str, moment: str) -> None:
        """Set the time of a rebalance recommendation."""
        self._rebalances[instance] = moment

    def facts(self, instance: str) -> Facts | None:
        """The facts of an instance, or None when there is none of that id."""
        found = self._book.find(instance)
        if found is None:
            return None
        region, one = found
        subnet = self._network.subnet(region, one.subnet)
        return Facts(
            instance=one.id,
            instance_type=one.kind,
            image=one.image,
            architecture=one.architecture,
            account=self._account,
            region=region,
            zone=one.zone,
            zone_id=one.zone_id,
            address=one.address,
            hostname=show.private_name(region, one),
            mac=one.mac,
            vpc=one.vpc,
            subnet=one.subnet,
            subnet_cidr=subnet.cidr,
            security_groups=self._network.group_names(region, one.groups),
            market=one.market,
            reservation=one.reservation,
            launched=one.launched,
            user_data=base64.b64decode(one.user_data),
            enabled=one.metadata["HttpEndpoint"] == "enabled",
            tokens_required=one.metadata["HttpTokens"] == "required",
            tags=dict(one.tags) if one.metadata["InstanceMetadataTags"] == "enabled" else None,
            profile_arn=one.profile.get("arn", ""),
            profile_id=one.profile.get("id", ""),
            role=one.profile.get("role", ""),
            spot_notice=self._notices.get(instance),
            rebalance=self._rebalances.get(instance, ""),
            vpc_cidrs=self._network.vpc_cidrs(region, one.vpc),
            root_device=one.volume.device,
            index=one.index,
            monitored=one.monitoring,
        )

    def credentials(self, instance: str) -> dict[str, str]:
        """The document of the instance's role: keys of a session named as the instance, or why there are none."""
        now = self._clock.now()
        said = {"LastUpdated": _iso(now)}
        found = self._book.find(instance)
        if found is None or not found[1].profile.get("role_arn"):
            return said | {"Code": "Failed", "Message": "No role is attached to this instance."}
        region, one = found
        session = self._sessions.get(instance)
        if session is None or session.expires - now.timestamp() < _EARLY:
            arn = f"arn:aws:ec2:{region}:{self._account}:instance/{instance}"
            keys: dict[str, Any] = {"aws:sourceaccount": self._account, "aws:sourcearn": arn}
            try:
                session = roles.assume(one.profile["role_arn"], "ec2.amazonaws.com", instance, keys)
            except roles.RoleRefused as refused:
                return said | {"Code": "AssumeRoleUnauthorizedAccess", "Message": str(refused)}
            self._sessions[instance] = session
        return said | {
            "Code": "Success",
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret_key,
            "Token": session.token,
            "Expiration": _iso(datetime.datetime.fromtimestamp(session.expires, datetime.UTC)),
        }


def _iso(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
