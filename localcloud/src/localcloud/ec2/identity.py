"""What an instance may learn about itself: the facts and the role credentials that its metadata service hands out.

How they are asked over HTTP is metadata.py.
"""

import base64
import datetime
import time
from collections.abc import Callable
from typing import Any

from localcloud.ec2 import rendering
from localcloud.ec2.metadata import Facts
from localcloud.ec2.network import Network
from localcloud.ec2.records import RecordStore
from localcloud.services.iam import roles

_EARLY = 1800.0
"""Credentials are made anew this many seconds before they end, so a reader always gets some that last."""


class RoleKeys:
    """The credentials of each instance's role. Their ages are the machine's: a guest lives by its clock."""

    def __init__(
        self,
        account: str,
        store: RecordStore,
        seconds: Callable[[], float] = time.time,
        assume: Callable[..., roles.Session] = roles.assume,
    ) -> None:
        self._account = account
        self._store = store
        self._seconds = seconds
        self._assume = assume
        self._sessions: dict[str, tuple[float, roles.Session]] = {}

    def document(self, instance: str) -> dict[str, str]:
        """The document of the instance's role: keys of a session named as the instance, or why there are none."""
        now = self._seconds()
        said = {"LastUpdated": _iso(now)}
        made, session = self._sessions.get(instance, (now, None))
        found = self._store.find(instance)
        if found is None or not found[1].profile.get("role_arn"):
            return said | {"Code": "Failed", "Message": "No role is attached to this instance."}
        region, one = found
        if session is None or session.expires - now < _EARLY:
            arn = f"arn:aws:ec2:{region}:{self._account}:instance/{instance}"
            keys: dict[str, Any] = {"aws:sourceaccount": self._account, "aws:sourcearn": arn}
            try:
                made, session = now, self._assume(one.profile["role_arn"], "ec2.amazonaws.com", instance, keys)
            except roles.RoleRefused as refused:
                return said | {"Code": "AssumeRoleUnauthorizedAccess", "Message": str(refused)}
            self._sessions[instance] = made, session
        return {
            "Code": "Success",
            "LastUpdated": _iso(made),
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret_key,
            "Token": session.token,
            "Expiration": _iso(session.expires),
        }


class Identity:
    """Facts and credentials by instance id."""

    def __init__(self, account: str, store: RecordStore, network: Network) -> None:
        self._account = account
        self._store = store
        self._network = network
        self._keys = RoleKeys(account, store)
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

    def credentials(self, instance: str) -> dict[str, str]:
        """The credentials of the instance's role, as `RoleKeys.document` has them."""
        return self._keys.document(instance)

    def facts(self, instance: str) -> Facts | None:
        """The facts of an instance, or None when there is none of that id."""
        found = self._store.find(instance)
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
            hostname=rendering.private_name(region, one),
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


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
