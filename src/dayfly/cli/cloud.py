"""`dayfly local up | down | status | env`: the local cloud of this folder. Needs no dayfly.toml."""

from __future__ import annotations

from typing import Any

import click

from dayfly.cli import local_cloud, say, target
from dayfly.cli.main import dayfly_command, guest_option, json_option
from dayfly.errors import FileError, NotFoundError


@dayfly_command.group("local")
def local_group() -> None:
    """The local cloud of this folder: AWS on this machine, with servers that really run."""


@local_group.command("up")
@click.option("--internet", is_flag=True, help="let servers reach the internet (else: the local cloud only)")
@guest_option
@json_option
def up_command(internet: bool, guest: str | None, as_json: bool) -> int:
    """Start it; it lives until `dayfly local down`."""
    cloud = local_cloud.up(target.folder(), _region(), internet=internet, guest=guest)
    if as_json:
        say.document({"running": True, **cloud.facts})
        return 0
    say.answers(_lines(cloud))
    say.answer(say.labelled("next", 'eval "$(dayfly local env)"      dayfly deploy --local'))
    return 0


@local_group.command("down")
@json_option
def down_command(as_json: bool) -> int:
    """End it and all its servers; what it holds stays for the next `up`."""
    ended = local_cloud.down(target.folder())
    if as_json:
        say.document({"running": False, "ended": ended})
    else:
        say.answer("local cloud ended; its state stays in .dayfly/cloud" if ended else "no local cloud runs here")
        say.answer(say.labelled("next", "dayfly local up"))
    return 0


@local_group.command("status")
@json_option
def status_command(as_json: bool) -> int:
    """Say whether it runs, what its servers are, and what they can not do. Exit 6: it does not run."""
    cloud = local_cloud.running(target.folder())
    if as_json:
        say.document({"running": cloud is not None, **(cloud.facts if cloud else {})})
    elif cloud is None:
        say.answer("no local cloud runs here")
        say.answer(say.labelled("next", "dayfly local up"))
    else:
        say.answers(_lines(cloud))
        say.answer(say.labelled("next", "dayfly ps --local"))
    return 0 if cloud is not None else 6


@local_group.command("env")
def env_command() -> int:
    """Print shell exports, so that the AWS CLI and SDKs speak to it: eval "$(dayfly local env)"."""
    folder = target.folder()
    if local_cloud.running(folder) is None:
        raise NotFoundError("no local cloud runs here", hint="dayfly local up")
    say.answer(local_cloud.exports(folder).rstrip())
    return 0


def _lines(cloud: local_cloud.LocalCloud) -> list[str]:
    facts = cloud.facts
    lines = [
        say.labelled("target", f"local cloud at {cloud.endpoint} (pid {facts['pid']}), account {facts['account']}"),
        say.labelled(
            "servers",
            f"{facts['guests']}, at most {facts['max_guests']} at once; {facts['guests_running']} run, "
            f"{facts['guests_waiting']} wait",
        ),
        say.labelled(
            "runs", f"{facts['architecture']}, {facts['interpreter']}; types of any architecture are played by it"
        ),
        *_made_of(cloud),
    ]
    lines += [say.labelled("guest", _guest(one)) for one in facts.get("guests_now", [])]
    return [*lines, *(say.labelled("differs", limit) for limit in facts.get("guest_limits", []))]


def _guest(facts: dict[str, Any]) -> str:
    """A server that runs now, and what it takes of this machine as far as that is known."""
    parts = [str(facts["instance"])]
    for name, words in (("pid", "pid {}"), ("rss_mib", "{} MiB of memory"), ("began_s_ago", "began {:.0f} s ago")):
        parts += [words.format(facts[name])] if facts.get(name) is not None else []
    return ", ".join(parts)


def _made_of(cloud: local_cloud.LocalCloud) -> list[str]:
    """What holds a server: a sandbox, or a machine with its accelerator (and why that one) and its image."""
    facts = cloud.facts
    if cloud.guests == local_cloud.PROCESS:
        return [say.labelled("sandbox", str(facts["sandbox"]))]
    return [
        say.labelled("machine", f"QEMU with {facts['accelerator']} ({facts['accelerator_why']})"),
        say.labelled("image", f"Debian 13, {facts['image']}"),
    ]


def _region() -> str:
    try:
        return target.project().regions[0]
    except FileError:
        return local_cloud.REGION
