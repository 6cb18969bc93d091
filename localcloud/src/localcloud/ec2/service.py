"""The EC2 of one cloud, put together: requests in, answers out, guests behind them. See localcloud.cloud.Machines."""

import asyncio
import importlib
import json
import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from localcloud.cloud.facts import Cloud, Response
from localcloud.ec2 import (
    authorize,
    catalog,
    codec,
    fleets,
    instances,
    rendering,
    run_instances,
    tags,
    templates,
    types,
)
from localcloud.ec2.capacity import Capacity
from localcloud.ec2.context import Context, Handler, Request
from localcloud.ec2.errors import Ec2Error, dry_run
from localcloud.ec2.events import InstanceEvents
from localcloud.ec2.identity import Identity
from localcloud.ec2.metadata import MetadataService
from localcloud.ec2.network import Network
from localcloud.ec2.records import Instance, RecordStore
from localcloud.ec2.spot import SpotMarket
from localcloud.ec2.supervisor import LONGEST_LIFE, MOST_GUESTS, GuestSupervisor
from localcloud.guests import process
from localcloud.guests.guest import VM, GuestBackend, Hardware
from localcloud.services import stacks

HANDLERS: dict[str, Handler] = {
    **templates.HANDLERS,
    **fleets.HANDLERS,
    **run_instances.HANDLERS,
    **instances.HANDLERS,
    **tags.HANDLERS,
    **catalog.HANDLERS,
}

# Left to MiniStack, which keeps networks; reading them is ours. Whatever else it has would speak of instances, images or
# disks of its own that do not exist here, or take a filter it does not know for one that matches everything.
LEFT = frozenset(
    (
        "CreateVpc",
        "DeleteVpc",
        "ModifyVpcAttribute",
        "CreateSubnet",
        "DeleteSubnet",
        "ModifySubnetAttribute",
        "CreateSecurityGroup",
        "DeleteSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "AuthorizeSecurityGroupEgress",
        "RevokeSecurityGroupIngress",
        "RevokeSecurityGroupEgress",
    )
)
# An instance that is not terminated, though it be stopped, has a network interface, and that holds what it stands in.
_HOLDS: dict[str, tuple[str, Callable[[Instance, str], bool]]] = {
    "DeleteSecurityGroup": ("GroupId", lambda one, asked: asked in one.groups),
    "DeleteSubnet": ("SubnetId", lambda one, asked: one.subnet == asked),
    "DeleteVpc": ("VpcId", lambda one, asked: one.vpc == asked),
}
# Judged on no resource of their own, so that a dry run of them is answered alike.
_LISTINGS = frozenset(name for name in HANDLERS if name.startswith("Describe") and name != "DescribeInstanceAttribute")
_FORGET_EVERY = 60.0
_XML = {"Content-Type": "text/xml;charset=UTF-8"}

_log = logging.getLogger("localcloud.ec2")


class Ec2:
    """The machines of a cloud (localcloud.cloud.Machines)."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        directory = cloud.state / "ec2"
        self._store = RecordStore(directory)
        self._network = Network(cloud.account)
        self._identity = Identity(cloud.account, self._store, self._network)
        self._metadata = MetadataService(self._identity.facts, self._identity.credentials)
        self._capacity = Capacity()
        self._body: GuestBackend | None = None
        self._most = MOST_GUESTS if cloud.max_guests is None else cloud.max_guests
        self._longest = float(getattr(cloud, "max_life", None) or LONGEST_LIFE)
        self._supervisor: GuestSupervisor | None = None
        self._context: Context | None = None
        self._forgot = 0.0
        self._router = importlib.import_module("ministack.core.router")
        self._responses = importlib.import_module("ministack.core.responses")
        authorize.install(frozenset(HANDLERS))

    async def start(self) -> None:
        """Find out what guests can be made of here, and settle what the last cloud left."""
        self._events = InstanceEvents(self._cloud.account, asyncio.get_running_loop())
        self._store.on_change = self._events.state_changed
        guests = self._cloud.state / "guests"
        self._body = await self._find_body(guests)
        self._supervisor = GuestSupervisor(
            guests, self._store, self._cloud.clock, self._body, self._most, self._longest, self._hardware
        )
        self._supervisor.reconcile()
        self._market = SpotMarket(self._store, self._identity, self._events, self._cloud.clock, self._supervisor)
        self._context = Context(
            account=self._cloud.account,
            store=self._store,
            network=self._network,
            capacity=self._capacity,
            clock=self._cloud.clock,
            supervisor=self._supervisor,
            facts=self._body.facts() | {"guests": self._body.kind},
        )
        context = self._context
        stacks.before_first_stack(lambda: templates.install(context))
        # Reading the model takes a moment that the first request need not wait for.
        self._warming = asyncio.ensure_future(asyncio.to_thread(codec.service))

    async def _find_body(self, guests: Path) -> GuestBackend:
        """What this cloud's guests are made of. Raises CloudError when this machine cannot have such guests."""
        cloud, serve = self._cloud, self._metadata.serve
        if cloud.guests == VM:
            # A cloud of processes needs nothing of it.
            from localcloud.guests.vm.backend import find_backend

            body = await asyncio.to_thread(find_backend, cloud.port, cloud.internet, serve, cloud.max_guests)
            if cloud.max_guests is None:
                self._most = body.max_guests
            return body
        sandbox, _ = await asyncio.gather(
            asyncio.to_thread(process.can_sandbox), asyncio.to_thread(process.make_etc_template, guests)
        )
        return process.ProcessBackend(cloud.port, sandbox, cloud.internet, serve)

    def _hardware(self, region: str, one: Instance) -> Hardware:
        """The machine that an instance is said to be."""
        kind = types.named(one.kind)
        return Hardware(
            instance_type=one.kind,
            cpus=kind.cpus,
            memory=kind.memory,
            volume=one.volume.id,
            disk=one.volume.size,
            mac=one.mac,
            cidr=self._network.subnet(region, one.subnet).cidr,
            domain=rendering.private_name(region, one).partition(".")[2],
        )

    async def close(self) -> None:
        """End every guest."""
        if self._supervisor is not None:
            await self._supervisor.close()

    def describe(self) -> dict[str, Any]:
        """Facts for `up` and `status`."""
        if self._body is None or self._supervisor is None:
            return {"guests": self._cloud.guests}
        running, waiting = self._supervisor.counts
        return self._body.describe() | {
            "internet": self._cloud.internet,
            "max_guests": self._most,
            "max_life_hours": self._longest / 3600,
            "guests_running": running,
            "guests_waiting": waiting,
            "guests_now": self._supervisor.facts(),
        }

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response | None:
        """Answer an EC2 request; None leaves it to MiniStack (see LEFT)."""
        del path
        flat = {name: values[0] for name, values in query.items() if values}
        if method == "POST":
            flat |= dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        action = flat.get("Action", "")
        identifier = str(uuid.uuid4())
        try:
            if action not in HANDLERS:
                self._leave(action, flat)
                return None
            key = self._router.extract_access_key_id(headers, query)
            answer = self._act(action, flat, key)
            return 200, dict(_XML), codec.render(action, answer, identifier)
        except Ec2Error as refusal:
            return refusal.status, dict(_XML), codec.render_error(refusal, identifier)
        except Exception:
            _log.exception("%s failed", action)
            fault = Ec2Error("InternalError", "An internal error has occurred", 500)
            return 500, dict(_XML), codec.render_error(fault, identifier)

    async def control(self, method: str, path: str, body: bytes) -> Response:
        """`/_localcloud/ec2/capacity` (see capacity.py), `/_localcloud/ec2/interrupt` and `.../rebalance` (see spot.py)."""
        try:
            said = json.loads(body or b"{}")
            if path.endswith("/capacity"):
                if method in ("POST", "PUT"):
                    self._capacity.replace(said)
                elif method == "DELETE":
                    self._capacity.replace({"rules": []})
                return _json(200, {"rules": self._capacity.listing()})
            orders = {"interrupt": self._market.interrupt, "rebalance": self._market.rebalance}
            order = orders.get(path.rpartition("/")[2])
            if order is not None and method == "POST":
                done = order(said)
                return _json(200, done) if done else _json(404, {"error": "no running spot instance of that id"})
        except ValueError as error:
            return _json(400, {"error": str(error)})
        return _json(404, {"error": "no such control"})

    def _act(self, action: str, flat: dict[str, str], key: str) -> dict[str, Any]:
        if self._context is None or self._supervisor is None:
            raise Ec2Error("Unavailable", "The service is starting.", 503)
        now = self._cloud.clock.now().timestamp()
        if abs(now - self._forgot) > _FORGET_EVERY:
            self._forgot = now
            self._supervisor.forget_old()
        caller = authorize.Caller(key, self._responses.get_region(), self._responses.get_account_id())
        request = Request(self._context, caller, action, codec.parse(action, flat))
        if action in _LISTINGS and request.params.get("DryRun"):
            caller.require(f"ec2:{action}")
            raise dry_run()
        with self._store.lock:
            return HANDLERS[action](request)

    def _leave(self, action: str, flat: dict[str, str]) -> None:
        """Raise Ec2Error for what must not be left to MiniStack: what is not offered, a dry run, a network in use."""
        if action not in LEFT:
            # Of what AWS has and this cloud has not it is said, so that nobody looks for a misspelling.
            more = " It is not part of the local cloud's EC2." if codec.knows(action) else ""
            raise Ec2Error("InvalidAction", f"The action {action} is not valid for this web service.{more}")
        if codec.parse(action, flat).get("DryRun"):
            raise dry_run()
        if action in _HOLDS:
            name, holds = _HOLDS[action]
            region, asked = self._store.region(self._responses.get_region()), flat.get(name, "")
            if any(holds(one, asked) for one in region.instances.values() if one.ended is None):
                raise Ec2Error("DependencyViolation", f"resource {asked} has a dependent object")


def _json(status: int, said: dict[str, Any]) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(said).encode()


def attach(cloud: Cloud) -> Ec2:
    """The EC2 of this cloud; MiniStack must be loaded."""
    return Ec2(cloud)
