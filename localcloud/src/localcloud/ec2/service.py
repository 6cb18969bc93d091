"""The EC2 of one cloud: dispatches requests to their actions and connects the actions with the guests."""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from localcloud.cloud.facts import Cloud, Response
from localcloud.ec2 import (
    account_plan,
    attributes,
    authorize,
    catalog,
    cloudformation,
    codec,
    describe_instances,
    describe_types,
    fleets,
    instances,
    networks,
    rendering,
    run_instances,
    service_quotas,
    tags,
    templates,
    types,
    visibility,
)
from localcloud.ec2.capacity import Capacity
from localcloud.ec2.conditions import Conditions
from localcloud.ec2.context import Context, Handler, Request
from localcloud.ec2.errors import Ec2Error, dry_run
from localcloud.ec2.events import InstanceEvents
from localcloud.ec2.identity import Identity
from localcloud.ec2.metadata import MetadataService
from localcloud.ec2.network import Network
from localcloud.ec2.records import Instance, RecordStore
from localcloud.ec2.spot import SpotInterruptions
from localcloud.ec2.supervisor import MAX_GUESTS, MAX_LIFE, GuestSupervisor
from localcloud.guests import process
from localcloud.guests.guest import VM, GuestBackend, Hardware
from localcloud.ministack import requests, stacks
from localcloud.services.iam.authorization import evaluation

HANDLERS: dict[str, Handler] = {
    **templates.HANDLERS,
    **fleets.HANDLERS,
    **run_instances.HANDLERS,
    **instances.HANDLERS,
    **describe_instances.HANDLERS,
    **attributes.HANDLERS,
    **tags.HANDLERS,
    **catalog.HANDLERS,
    **networks.HANDLERS,
    **describe_types.HANDLERS,
}

# MiniStack keeps the networks, so it answers these actions; their Describe actions are answered here. MiniStack's other
# actions are not used: they report its own instances, images and disks, which do not exist here, or ignore unknown filters.
MINISTACK_ACTIONS = frozenset(
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
        "CreateRouteTable",
        "DeleteRouteTable",
        "AssociateRouteTable",
        "DisassociateRouteTable",
        "CreateRoute",
        "DeleteRoute",
        "CreateVpcEndpoint",
        "DeleteVpcEndpoints",
    )
)
# An instance that is not terminated, even a stopped one, has a network interface, which depends on these.
_DEPENDS: dict[str, tuple[str, Callable[[Instance, str], bool]]] = {
    "DeleteSecurityGroup": ("GroupId", lambda instance, group: group in instance.groups),
    "DeleteSubnet": ("SubnetId", lambda instance, subnet: instance.subnet == subnet),
    "DeleteVpc": ("VpcId", lambda instance, vpc: instance.vpc == vpc),
}
# IAM evaluates these without a resource, so their dry runs need no code of their own.
_LISTINGS = frozenset(name for name in HANDLERS if name.startswith("Describe") and name != "DescribeInstanceAttribute")
_FORGET_SECONDS = 60.0
_XML = {"Content-Type": "text/xml;charset=UTF-8"}

_log = logging.getLogger("localcloud.ec2")


class Ec2:
    """The EC2 of a cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        directory = cloud.state / "ec2"
        self._store = RecordStore(directory)
        self._network = Network(cloud.account)
        self._identity = Identity(cloud.account, self._store, self._network)
        self._metadata = MetadataService(self._identity.facts, self._identity.credentials)
        self._capacity = Capacity()
        self._conditions = Conditions()
        self._in_flight: set[tuple[str, str]] = set()
        self._backend: GuestBackend | None = None
        self._max_guests = MAX_GUESTS if cloud.max_guests is None else cloud.max_guests
        self._max_life = float(cloud.max_life or MAX_LIFE)
        self._supervisor: GuestSupervisor | None = None
        self._context: Context | None = None
        self._forgot_at = 0.0
        evaluation.leave_to_service("ec2", HANDLERS)

    async def start(self) -> None:
        """Prepare the backend of the guests, and terminate the instances that ran when the last cloud ended."""
        self._events = InstanceEvents(self._cloud.account, asyncio.get_running_loop())
        self._store.on_change = self._events.state_changed
        guests = self._cloud.state / "guests"
        self._backend = await self._find_backend(guests)
        self._supervisor = GuestSupervisor(
            guests, self._store, self._cloud.clock, self._backend, self._max_guests, self._max_life, self._hardware
        )
        self._supervisor.reconcile()
        self._spot = SpotInterruptions(self._store, self._identity, self._events, self._cloud.clock, self._supervisor)
        self._context = Context(
            account=self._cloud.account,
            store=self._store,
            network=self._network,
            capacity=self._capacity,
            conditions=self._conditions,
            in_flight=self._in_flight,
            groups_known={},
            clock=self._cloud.clock,
            supervisor=self._supervisor,
            guest_facts=self._backend.facts() | {"guests": self._backend.kind},
        )
        context = self._context
        service_quotas.install(context)
        account_plan.install(context)
        stacks.before_first_stack(lambda: cloudformation.install(context))
        # Loading the model takes a moment; without this the first request would wait for it.
        self._warming = asyncio.ensure_future(asyncio.to_thread(codec.service))

    async def _find_backend(self, guests: Path) -> GuestBackend:
        """Return the backend of this cloud's guests. Raises CloudError if this machine cannot have such guests."""
        cloud, serve = self._cloud, self._metadata.serve
        if cloud.guests == VM:
            # Imported here, because process guests do not need it.
            from localcloud.guests.vm.backend import find_backend

            backend = await asyncio.to_thread(find_backend, cloud.port, cloud.internet, serve, cloud.max_guests)
            if cloud.max_guests is None:
                self._max_guests = backend.max_guests
            return backend
        sandbox, _ = await asyncio.gather(
            asyncio.to_thread(process.can_sandbox), asyncio.to_thread(process.make_etc_template, guests)
        )
        return process.ProcessBackend(cloud.port, sandbox, cloud.internet, serve)

    def _hardware(self, region: str, instance: Instance) -> Hardware:
        """Return the hardware of an instance: that of its type, volume and subnet."""
        instance_type = types.named(instance.instance_type)
        return Hardware(
            instance_type=instance.instance_type,
            cpus=instance_type.cpus,
            memory=instance_type.memory,
            volume=instance.volume.id,
            disk=instance.volume.size,
            mac=instance.mac,
            cidr=self._network.subnet(region, instance.subnet).cidr,
            stores=instance_type.stores,
            domain=rendering.private_name(region, instance).partition(".")[2],
        )

    async def close(self) -> None:
        """End every guest."""
        if self._supervisor is not None:
            await self._supervisor.close()

    def describe(self) -> dict[str, Any]:
        """Return facts for `up` and `status`."""
        if self._backend is None or self._supervisor is None:
            return {"guests": self._cloud.guests}
        running, waiting = self._supervisor.counts
        return self._backend.describe() | {
            "internet": self._cloud.internet,
            "max_guests": self._max_guests,
            "max_life_hours": self._max_life / 3600,
            "guests_running": running,
            "guests_waiting": waiting,
            "guests_now": self._supervisor.facts(),
        }

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response | None:
        """Answer an EC2 request, or return None for one of MINISTACK_ACTIONS."""
        del path
        params = {name: values[0] for name, values in query.items() if values}
        if method == "POST":
            params |= dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        action = params.get("Action", "")
        identifier = str(uuid.uuid4())
        try:
            if action not in HANDLERS:
                self._check_ministack_action(action, params)
                return None
            key = requests.access_key(headers, query)
            answer, tokens = self._act(action, params, key)
            rendered = codec.render(action, answer, identifier)
            if tokens and self._conditions.now.answer_seconds:
                await self._take_time(tokens)
            return 200, dict(_XML), rendered
        except Ec2Error as error:
            return error.status, dict(_XML), codec.render_error(error, identifier)
        except Exception:
            _log.exception("%s failed", action)
            fault = Ec2Error("InternalError", "An internal error has occurred", 500)
            return 500, dict(_XML), codec.render_error(fault, identifier)

    async def _take_time(self, tokens: set[tuple[str, str]]) -> None:
        """Wait as long as the conditions say that a launch takes; its tokens are in flight until then."""
        self._in_flight |= tokens
        try:
            await asyncio.sleep(self._conditions.now.answer_seconds)
        finally:
            self._in_flight -= tokens

    async def control(self, method: str, path: str, body: bytes) -> Response:
        """Answer the controls below `/_localcloud/ec2/`: see capacity.py, conditions.py and spot.py."""
        try:
            document = json.loads(body or b"{}")
            if path.endswith("/capacity"):
                return self._control_capacity(method, document)
            if path.endswith("/conditions"):
                return self._control_conditions(method, document)
            control = {"interrupt": self._spot.interrupt, "rebalance": self._spot.rebalance}.get(
                path.rpartition("/")[2]
            )
            if control is None or method != "POST":
                return _json(404, {"error": "no such control"})
            done = control(document)
        except ValueError as error:
            return _json(400, {"error": str(error)})
        if done is None:
            return _json(404, {"error": "no running spot instance has that id"})
        return _json(200, done)

    def _control_capacity(self, method: str, document: Any) -> Response:
        if method in ("POST", "PUT"):
            self._capacity.replace(document)
        elif method == "DELETE":
            self._capacity.replace({"rules": []})
        return _json(200, {"rules": self._capacity.listing()})

    def _control_conditions(self, method: str, document: Any) -> Response:
        if method in ("POST", "PUT"):
            self._conditions.change(document)
        elif method == "DELETE":
            self._conditions.reset()
        return _json(200, self._conditions.listing())

    def _act(self, action: str, params: dict[str, str], key: str) -> tuple[dict[str, Any], set[tuple[str, str]]]:
        """Return (answer, (region, key) of each client token that the request used). Raises Ec2Error."""
        if self._context is None or self._supervisor is None:
            raise Ec2Error("Unavailable", "The service is starting.", 503)
        now = self._cloud.clock.now().timestamp()
        if abs(now - self._forgot_at) > _FORGET_SECONDS:
            self._forgot_at = now
            self._supervisor.forget_old()
        caller = authorize.Caller(key, requests.region(), requests.account())
        visibility.note_groups(self._context, caller.region)
        request = Request(self._context, caller, action, codec.parse(action, params))
        if action in _LISTINGS and request.params.get("DryRun"):
            caller.require(f"ec2:{action}")
            raise dry_run()
        with self._store.lock:
            return HANDLERS[action](request), request.tokens

    def _check_ministack_action(self, action: str, params: dict[str, str]) -> None:
        """Raise Ec2Error if MiniStack does not perform the action here; also for a dry run, and for a network in use."""
        if action not in MINISTACK_ACTIONS:
            text = f"The action {action} is not valid for this web service."
            if codec.knows(action):
                # AWS has this action. Without this sentence the caller would look for a typing error.
                text += " It is not part of the local cloud's EC2."
            raise Ec2Error("InvalidAction", text)
        if codec.parse(action, params).get("DryRun"):
            raise dry_run()
        if action in _DEPENDS:
            name, depends = _DEPENDS[action]
            region, identifier = self._store.region(requests.region()), params.get(name, "")
            if any(depends(instance, identifier) for instance in region.not_terminated()):
                raise Ec2Error("DependencyViolation", f"resource {identifier} has a dependent object")


def _json(status: int, document: dict[str, Any]) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def attach(cloud: Cloud) -> Ec2:
    """Return the EC2 of this cloud. MiniStack must be loaded."""
    return Ec2(cloud)
