"""`dayfly local up | down | status | env`: start, stop and describe the local cloud of this folder. Needs no dayfly.toml."""

from __future__ import annotations

from typing import Any

import click

from dayfly.cli import local_cloud, output, workspace
from dayfly.cli.options import guest_option, json_option
from dayfly.errors import FileError, NotFoundError

_NONE = "no local cloud is running here"
_ENDED = "local cloud ended; its state is kept in .dayfly/cloud"
_NOT_RUNNING = 6


@click.group("local")
def local_group() -> None:
    """Control the local cloud of this folder: AWS on this machine, with servers that really run."""


@local_group.command("up")
@click.option("--internet", is_flag=True, help="let servers reach the internet (default: only the local cloud)")
@guest_option
@json_option
def up_command(internet: bool, guest: str | None, as_json: bool) -> int:
    """Start it. It runs until `dayfly local down`."""
    cloud = local_cloud.up(workspace.folder(), _region(), internet=internet, guest=guest)
    if as_json:
        output.document({"running": True, **cloud.facts})
        return 0
    output.lines(_lines(cloud))
    output.line(output.labelled("next", 'eval "$(dayfly local env)"      dayfly deploy --local'))
    return 0


@local_group.command("down")
@json_option
def down_command(as_json: bool) -> int:
    """End it and its servers. Its state is kept for the next `up`."""
    ended = local_cloud.down(workspace.folder())
    if as_json:
        output.document({"running": False, "ended": ended})
    else:
        output.line(_ENDED if ended else _NONE)
        output.line(output.labelled("next", "dayfly local up"))
    return 0


@local_group.command("status")
@json_option
def status_command(as_json: bool) -> int:
    """Show whether it is running and what its servers can do. Exits 6 if it is not running."""
    match local_cloud.running(workspace.folder()):
        case local_cloud.LocalCloud() as cloud:
            facts, lines, following, exit_code = cloud.facts, _lines(cloud), "dayfly ps --local", 0
        case None:
            facts, lines, following, exit_code = {}, [_NONE], "dayfly local up", _NOT_RUNNING
    if as_json:
        output.document({"running": exit_code == 0, **facts})
    else:
        output.lines([*lines, output.labelled("next", following)])
    return exit_code


@local_group.command("env")
def env_command() -> int:
    """Print shell exports that point the AWS CLI and SDKs to it: eval "$(dayfly local env)"."""
    folder = workspace.folder()
    if not isinstance(local_cloud.running(folder), local_cloud.LocalCloud):
        raise NotFoundError(_NONE, hint="dayfly local up")
    output.line(local_cloud.exports(folder).rstrip())
    return 0


def _lines(cloud: local_cloud.LocalCloud) -> list[str]:
    facts = cloud.facts
    lines = [
        output.labelled("target", f"local cloud at {cloud.endpoint} (pid {facts['pid']}), account {facts['account']}"),
        output.labelled(
            "servers",
            f"{facts['guests']}, at most {facts['max_guests']} at once; {facts['guests_running']} running, "
            f"{facts['guests_waiting']} waiting",
        ),
        output.labelled(
            "runs", f"{facts['architecture']}, {facts['interpreter']}; types of every architecture run on it"
        ),
        *_made_of(cloud),
    ]
    lines += [output.labelled("guest", _guest(one)) for one in facts.get("guests_now", [])]
    return [*lines, *(output.labelled("differs", limit) for limit in facts.get("guest_limits", []))]


_GUEST_FACTS = (("pid", "pid {}"), ("rss_mib", "{} MiB of memory"), ("began_s_ago", "began {:.0f} s ago"))


def _guest(facts: dict[str, Any]) -> str:
    """Return a running server and what is known of its use of this machine."""
    known = [words.format(facts[name]) for name, words in _GUEST_FACTS if facts.get(name) is not None]
    return ", ".join([str(facts["instance"]), *known])


def _made_of(cloud: local_cloud.LocalCloud) -> list[str]:
    """Return how servers are made: by a sandbox; or by QEMU with an accelerator (and why this one) and an image."""
    facts = cloud.facts
    if cloud.guests == local_cloud.PROCESS:
        return [output.labelled("sandbox", str(facts["sandbox"]))]
    return [
        output.labelled("machine", f"QEMU with {facts['accelerator']} ({facts['accelerator_why']})"),
        output.labelled("image", f"Debian 13, {facts['image']}"),
    ]


def _region() -> str:
    try:
        return workspace.read_project().regions[0]
    except FileError:
        return local_cloud.REGION
