"""The keys of dayfly.toml: which there are, of what type, with what default, and what each means; and those of later versions.

How a value is read is core/values.py's, how a file is put together core/config.py's. example.toml shows the same keys
with values; a test holds the two alike.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Scope = Literal["project", "network", "job"]


class Key(NamedTuple):
    """`type` and `default` are words for people; a default of `required` is none."""

    scope: Scope
    name: str
    type: str
    default: str
    text: str


ALL = (
    Key("project", "project", "string", "required", "names the stack, the bucket and the tag on everything; 2-24 of a-z 0-9 -"),
    Key("project", "account", "string", "none", "12 digits; deploy, run and destroy refuse any other account"),
    Key("project", "regions", "list", "required", "the AWS region of the stack; one in this version"),
    Key("project", "keep", "duration", '"90d"', "older results, logs and records go; the last good run of a job never does"),
    Key("project", "tags", "table", "{}", "on every resource and server; many companies refuse a launch without"),
    Key("project", "permissions_boundary", "ARN", "none", "of an IAM policy; put on every role that dayfly makes"),
    Key("network", "subnets", "list", "the default VPC's", "a server starts in whichever has capacity"),
    Key("network", "security_groups", "list", "one of our own with no way in", "e.g. the one your database lets in"),
    Key("network", "public_ip", "bool", "true", "false needs a NAT or an endpoint for S3, and your job's own traffic"),
    Key("job", "command", "string or list", "required", "a string is run by `sh -eu -c`, a list as it is"),
    Key("job", "servers", "list", "required", "EC2 types: one server per run, of whichever has capacity; one architecture"),
    Key("job", "schedule", "string or list", "none: by hand only", "5 fields of cron, cron(...) of EventBridge, rate(...), at(...)"),
    Key("job", "timezone", "string", '"UTC"', "IANA name: the clock of the schedule, and of DAYFLY_DAY"),
    Key("job", "market", "string", '"on-demand"', "on-demand, spot, or spot-first: every spot pool, then on-demand"),
    Key("job", "time_limit", "duration", '"1h"', "of the command, from its start; TERM, 30 s, KILL to all it started"),
    Key("job", "margin", "duration", '"15m"', "for boot, setup, upload; the server is gone by launch + time_limit + margin"),
    Key("job", "outputs", "list", "[]", "paths or globs; each must match, or the run failed; stored as the run's result"),
    Key("job", "disk", "size", '"20GB"', "encrypted root volume, gone with the server"),
    Key("job", "image", "string", '"debian-13"', "debian-13, or an image of yours by its ami-..."),
    Key("job", "bundle", "list", '["."]', "what the server gets of this folder; .gitignore holds; [] is nothing"),
    Key("job", "python", "string", '"auto"', "dependencies: auto finds uv.lock, requirements.txt or pyproject.toml; or that file; or none"),
    Key("job", "setup", "string", "none", "run as root before the command, for what a bundle can not carry"),
    Key("job", "env", "table", "{}", "plain values the command finds in its environment; not for secrets"),
    Key("job", "overlap", "string", '"skip"', "the last run still lives when a tick is due: skip, or allow both"),
    Key("job", "start_within", "duration", '"1h"', "a tick delivered later than that is missed"),
)  # fmt: skip

TABLES = {
    "network": "[network.REGION]: where servers start; without it in the default VPC",
    "defaults": "[defaults]: any key of a job; a job's own value wins, env is merged",
    "jobs": "[jobs.NAME]: a job; letters, digits, -; the name in every command",
}

LATER: dict[Scope, dict[str, str]] = {
    "project": {
        "notify": "remove it; dayfly runs shows what failed or was missed",
        "heartbeat": "remove it; dayfly runs shows what was missed",
        "monthly_cap": "remove it; time_limit is what bounds each run",
        "images": "remove it; use setup, or an image of yours: image = \"ami-...\"",
    },
    "network": {},
    "job": {
        "secrets": "remove it; this version has no way to hand a secret to a job",
        "reads": "remove it; put what the job reads into the bundle",
        "writes": "remove it; declare the files in outputs: they are stored as the run's result",
        "policy": "remove it; in this version a job may only store its own outputs",
        "retries": "remove it; after a failure: dayfly retry RUN",
        "retry_on": "remove it; after a failure: dayfly retry RUN",
        "catchup": "remove it; after an outage: dayfly runs shows what was missed, dayfly run JOB makes it up",
        "expect_by": "remove it; dayfly runs shows what was missed",
        "stalled_after": "remove it; time_limit ends a command that hangs",
        "checkpoint": "remove it; every attempt starts from the beginning",
        "after": "remove it and give the job a schedule of its own",
        "regions": "remove it; a project has one region in this version",
        "placement": "remove it; a project has one region in this version",
        "on_silence": "remove it; a project has one region in this version",
    },
}  # fmt: skip
"""Keys that a later version will know -> what to do without them."""


def names(scope: Scope) -> tuple[str, ...]:
    """Names of the keys of one scope, in the order of the documentation; of the project also its tables."""
    own = tuple(key.name for key in ALL if key.scope == scope)
    return (*own, *TABLES) if scope == "project" else own


def rows(scope: Scope | None = None) -> tuple[tuple[str, str, str, str], ...]:
    """(name, type, default, text) of each key of a scope, or of all: for `check --keys` and the documentation."""
    return tuple((key.name, key.type, key.default, key.text) for key in ALL if scope in (None, key.scope))
