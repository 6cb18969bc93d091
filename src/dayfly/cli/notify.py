"""`dayfly notify`: who hears of failures; with `--test` a message to each, with `--key` the key that signs webhooks."""

from __future__ import annotations

import json

import click

from dayfly.cli import output, target, workspace
from dayfly.cli.lookup import deployed_target, local_hints
from dayfly.cli.options import json_option, local_option
from dayfly.core.model import Project
from dayfly.errors import FileError
from dayfly.project import formatting
from dayfly.project.deploy.notification import signing_key, try_addresses


@click.command("notify")
@click.option("--test", "test", is_flag=True, help="send a test message to every address that is deployed")
@click.option("--key", "key", is_flag=True, help="print the key that signs webhooks, for the receiver; it is a secret")
@local_option
@json_option
def notify_command(test: bool, key: bool, use_local: bool, as_json: bool) -> int:
    """Show who is told when a run fails or is missed. Exits 1 if an address did not take the test message."""
    project = workspace.read_project()
    if test and key:
        raise FileError("--test and --key cannot be combined", hint="dayfly notify --test")
    where = deployed_target(project, use_local=use_local, as_json=as_json)
    with local_hints(use_local=use_local):
        if key:
            return _key(where, project, as_json=as_json)
        if test:
            return _test(where, project, as_json=as_json)
    if as_json:
        output.document({"target": where.facts(), "notify": list(project.notify)})
        return 0
    for address in project.notify:
        output.line(output.labelled("told", address))
    if not project.notify:
        output.line(output.labelled("told", 'nobody: notify is empty. In dayfly.toml: notify = ["you@acme.example"]'))
    output.line(output.labelled("next", formatting.dayfly("notify", "--test", local=use_local)))
    return 0


def _key(where: target.Target, project: Project, *, as_json: bool) -> int:
    key = where.interpreter(project.name).run(signing_key(where.scope(project.name)))
    if as_json:
        output.document({"target": where.facts(), "key": key})
    else:
        output.line(output.labelled("key", key))
    return 0


def _test(where: target.Target, project: Project, *, as_json: bool) -> int:
    target.refuse_other_account(project, where.account)
    body = json.dumps({"test": where.who})
    answers = where.interpreter(project.name).run(try_addresses(where.scope(project.name), body))
    failed = [address for address, why in answers.items() if why]
    code = 1 if failed or not answers else 0
    if as_json:
        output.document({"target": where.facts(), "answers": dict(answers), "exit": code})
        return code
    for address, why in answers.items():
        output.line(_answer_line(address, why))
    if not answers:
        output.line(output.labelled("told", "nobody: no address is deployed"))
        output.line(output.labelled("next", 'notify = ["you@acme.example"] in dayfly.toml, then dayfly deploy'))
        return code
    output.line(output.labelled("sent", f"to {len(answers) - len(failed)} of {len(answers)}"))
    return code


def _answer_line(address: str, why: str) -> str:
    if why:
        return output.labelled("failed", f"{address}: {why}")
    if "://" in address:
        return output.labelled("took it", address)
    return output.labelled(
        "mailed", f"{address}, if its owner confirmed the address: AWS does not say whether it arrived"
    )
