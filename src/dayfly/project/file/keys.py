"""The keys of dayfly.toml: name, type, default and meaning of each. Everything that lists keys is made from this table.

values.py reads one value, config.py a whole file; schema.py makes the JSON schema for editors. example.toml shows the same keys with
values; a test compares the two.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Scope = Literal["project", "network", "job"]


class Key(NamedTuple):
    """One key. `type` and `default` are text; the default `required` means that there is none. `choices`: all allowed values."""

    scope: Scope
    name: str
    type: str
    default: str
    text: str
    choices: tuple[str, ...] = ()


_MARKETS = ("on-demand", "spot", "spot-first")
_OVERLAPS = ("skip", "allow")

ALL = (
    Key("project", "project", "string", "required", "in the names of stack and bucket, and as the tag of everything; 2-24 of a-z 0-9 -"),
    Key("project", "account", "string", "none", "12 digits; deploy, run and destroy refuse any other account"),
    Key("project", "regions", "list", "required", "the AWS region of the stack; exactly one"),
    Key("project", "notify", "list", "[]", "e-mail addresses and https URLs: told when a scheduled run fails, is missed, or is good again"),
    Key("project", "keep", "duration", '"90d"', "older results, logs and records are deleted, but never the last successful run of a job"),
    Key("project", "tags", "table", "{}", "set on every resource and server; many organizations require them"),
    Key("project", "permissions_boundary", "ARN", "none", "an IAM policy that is attached as the boundary of every role dayfly makes"),
    Key("network", "subnets", "list", "the default VPC's", "a server starts in whichever has capacity; of two in a zone, in the first"),
    Key("network", "security_groups", "list", "one without inbound rules", "for example the one that your database accepts"),
    Key("network", "public_ip", "bool", "true", "false needs a NAT or an S3 endpoint, and a route for the job's own traffic"),
    Key("job", "command", "string or list", "required", "a string is run by `sh -eu -c`, a list without a shell"),
    Key("job", "servers", "list", "required", "EC2 types of one architecture, best first; each run gets one, the first with capacity"),
    Key("job", "schedule", "string or list", "none: by hand only", "5 crontab fields, or EventBridge's cron(...), rate(...) or at(...)"),
    Key("job", "timezone", "string", '"UTC"', "IANA name: the time zone of the schedule and of DAYFLY_DAY"),
    Key("job", "market", "string", '"on-demand"', "on-demand, spot, or spot-first (on-demand if no subnet has spot)", _MARKETS),
    Key("job", "time_limit", "duration", '"1h"', "of the command, from its start: TERM, 30 s later KILL, to all its processes"),
    Key("job", "margin", "duration", '"15m"', "for boot, setup and upload; the server is gone by launch + time_limit + margin"),
    Key("job", "outputs", "list", "[]", "paths or globs, stored as the run's result; if one matches nothing, the run fails"),
    Key("job", "results", "string", "none", "s3://BUCKET/PREFIX/ or project: where good results are copied for others, with a manifest"),
    Key("job", "disk", "size or table", '"20GB"', 'encrypted root volume, deleted with the server; { size = "500GB", throughput = 500 }'),
    Key("job", "image", "string", '"debian-13"', "debian-13, or your own image as ami-..."),
    Key("job", "bundle", "list", '["."]', "paths of this folder that the server gets, without what .gitignore excludes; [] is nothing"),
    Key("job", "python", "string", '"auto"', "dependencies: auto (uv.lock, requirements.txt or pyproject.toml), one such file, or none"),
    Key("job", "setup", "string", "none", "shell commands run as root before the command, for what a bundle cannot hold"),
    Key("job", "env", "table", "{}", "environment variables of the command; not for secrets"),
    Key("job", "secrets", "table", "{}", "variables whose values are read on the server: ssm:/PATH, secretsmanager:NAME or NAME#KEY"),
    Key("job", "reads", "list", "[]", "s3://BUCKET/PREFIX/ that the command may read, or job:NAME: its last good result"),
    Key("job", "writes", "list", "[]", "s3://BUCKET/PREFIX/ that the command may write, beside its outputs"),
    Key("job", "policy", "path", "none", "JSON file with an IAM policy (Athena, Glue, KMS); what could reach servers or roles is refused"),
    Key("job", "overlap", "string", '"skip"', "if the last run is not over when a tick is due: skip the tick, or allow both", _OVERLAPS),
    Key("job", "start_within", "duration", '"1h"', "a tick that is delivered later than this is missed"),
)  # fmt: skip

TABLES = {
    "network": "[network.REGION]: where servers start; the default is the default VPC",
    "defaults": "[defaults]: any key of a job, for all jobs; a job's own value wins, env and secrets are merged",
    "jobs": "[jobs.NAME]: one job; NAME is letters, digits and -, and is used in every command",
}


def names(scope: Scope) -> tuple[str, ...]:
    """Return the names of a scope's keys, in the order of the documentation; for the project also its tables."""
    own = tuple(key.name for key in ALL if key.scope == scope)
    return (*own, *TABLES) if scope == "project" else own


def choices(scope: Scope, name: str) -> tuple[str, ...]:
    """Return all allowed values of a key that has a fixed set of them."""
    return next(key.choices for key in ALL if (key.scope, key.name) == (scope, name))


def rows(scope: Scope | None = None) -> tuple[tuple[str, str, str, str], ...]:
    """Return (name, type, default, text) of each key of a scope, or of all keys: for `check --keys` and the documentation."""
    return tuple((key.name, key.type, key.default, key.text) for key in ALL if scope in (None, key.scope))
