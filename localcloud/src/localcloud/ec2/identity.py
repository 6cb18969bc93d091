"""What an instance learns about itself from its metadata: its facts and the credentials of its role.

The metadata service itself, which speaks HTTP, lives in metadata.py.
"""

import base64
import datetime
import time
from collections.abc import Callable
from typing import Any

from localcloud.ec2 import rendering
from localcloud.ec2.metadata import InstanceFacts
from localcloud.ec2.network import Network
from localcloud.ec2.records import Instance, RecordStore
from localcloud.services.iam import roles

_RENEW_SECONDS = 1800.0
"""Credentials are renewed this many seconds before they expire, so every reader gets some that last."""


class RoleKeys:
    """The credentials of each instance's role. They expire by the machine's clock, which is also the guests' clock."""

    def __init__(
        self,
        account: str,
        store: RecordStore,
        now: Callable[[], float] = time.time,
        assume: Callable[..., roles.Session] = roles.assume,
    ) -> None:
        self._account = account
        self._store = store
        self._now = now
        self._assume = assume
        self._sessions: dict[tuple[str, str], tuple[float, roles.Session]] = {}

    def document(self, instance: str, version: str = "2.0") -> dict[str, str]:
        """Return the credentials document: keys of a session with the instance's name, or the reason why there are none.

        `version` is that of the metadata service that gives them; a policy can refuse those of version 1 ("EC2 User Guide",
        Use IAM to control access to instance metadata, ec2:RoleDelivery).
        """
        now = self._now()
        found = self._store.find(instance)
        if found is None or not found[1].profile.get("role_arn"):
            message = "No role is attached to this instance."
            return {"LastUpdated": _iso(now), "Code": "Failed", "Message": message}
        region, record = found
        try:
            made, session = self._session(region, instance, version, record.profile["role_arn"], now)
        except roles.RoleRefused as refused:
            return {"LastUpdated": _iso(now), "Code": "AssumeRoleUnauthorizedAccess", "Message": str(refused)}
        return {
            "Code": "Success",
            "LastUpdated": _iso(made),
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret_key,
            "Token": session.token,
            "Expiration": _iso(session.expires),
        }

    def _session(
        self, region: str, instance: str, version: str, role_arn: str, now: float
    ) -> tuple[float, roles.Session]:
        """Return (time it was made, session), a new one if the last one expires soon. Raises RoleRefused."""
        kept = self._sessions.get((instance, version))
        if kept is not None and kept[1].expires - now >= _RENEW_SECONDS:
            return kept
        arn = f"arn:aws:ec2:{region}:{self._account}:instance/{instance}"
        keys: dict[str, Any] = {"aws:sourceaccount": self._account, "aws:sourcearn": arn}
        carried = {"ec2:roledelivery": version, "ec2:sourceinstancearn": arn}
        session = self._assume(role_arn, "ec2.amazonaws.com", instance, keys, carried)
        self._sessions[instance, version] = now, session
        return now, session


class Identity:
    """InstanceFacts and credentials by instance id."""

    def __init__(self, account: str, store: RecordStore, network: Network) -> None:
        self._account = account
        self._store = store
        self._network = network
        self._keys = RoleKeys(account, store)
        self._notices: dict[str, dict[str, str]] = {}
        self._rebalances: dict[str, str] = {}

    def set_spot_notice(self, instance: str, notice: dict[str, str]) -> None:
        """Set the spot interruption notice of an instance."""
        self._notices[instance] = notice

    def set_rebalance_time(self, instance: str, moment: str) -> None:
        """Set the time of an instance's rebalance recommendation, ISO 8601."""
        self._rebalances[instance] = moment

    def credentials(self, instance: str, version: str) -> dict[str, str]:
        """Return the credentials document of an instance's role, as a version of the metadata service gives it."""
        return self._keys.document(instance, version)

    def facts(self, instance: str) -> InstanceFacts | None:
        """Return the facts of an instance, or None if there is no instance of that id."""
        found = self._store.find(instance)
        if found is None:
            return None
        region, record = found
        subnet = self._network.subnet(region, record.subnet)
        return InstanceFacts(
            instance=record.id,
            instance_type=record.instance_type,
            image=record.image,
            architecture=record.architecture,
            account=self._account,
            region=region,
            zone=record.zone,
            zone_id=record.zone_id,
            address=record.address,
            hostname=rendering.private_name(region, record),
            mac=record.mac,
            vpc=record.vpc,
            subnet=record.subnet,
            subnet_cidr=subnet.cidr,
            security_groups=self._network.group_names(region, record.groups),
            market=record.market,
            reservation=record.reservation,
            launched=record.launched,
            user_data=base64.b64decode(record.user_data),
            enabled=record.metadata["HttpEndpoint"] == "enabled",
            tokens_required=record.metadata["HttpTokens"] == "required",
            tags=_visible_tags(record),
            profile_arn=record.profile.get("arn", ""),
            profile_id=record.profile.get("id", ""),
            role=record.profile.get("role", ""),
            spot_notice=self._notices.get(instance),
            rebalance=self._rebalances.get(instance, ""),
            vpc_cidrs=self._network.vpc_cidrs(region, record.vpc),
            root_device=record.volume.device,
            index=record.index,
            monitored=record.monitoring,
        )


def _visible_tags(record: Instance) -> dict[str, str] | None:
    if record.metadata["InstanceMetadataTags"] != "enabled":
        return None
    return dict(record.tags)


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
