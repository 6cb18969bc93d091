"""Options that several commands share, as click decorators. No command is defined here."""

from __future__ import annotations

import click

local_option = click.option("--local", "use_local", is_flag=True, help="use the local cloud of this folder, not AWS")
json_option = click.option("--json", "as_json", is_flag=True, help="print one JSON document on stdout")
guest_option = click.option(
    "--guest",
    type=click.Choice(["process", "vm"]),
    help="kind of local server (default: the one running, otherwise process)",
)
utc_option = click.option("--utc", is_flag=True, help="show times in UTC instead of the job's zone")
wait_option = click.option("--wait", is_flag=True, help="watch the run to its end; exit 0 only if it succeeded")
