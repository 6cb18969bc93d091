"""Every command of dayfly: its group in the help, its arguments, and where it is defined.

Only this table is needed to print the help. A command's module is imported when the command is used, so nothing here may import one.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One command. `target` is MODULE:ATTRIBUTE; `arguments` is what the help shows after the name."""

    name: str
    target: str
    arguments: str = ""

    @property
    def usage(self) -> str:
        """The name with its arguments: `show RUN`."""
        return f"{self.name} {self.arguments}".rstrip()


GROUPS: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Start",
        (
            Entry("init", "dayfly.cli.init:init_command"),
            Entry("check", "dayfly.cli.check:check_command"),
            Entry("run", "dayfly.cli.run:run_command", "JOB"),
            Entry("demo", "dayfly.cli.demo:demo_command"),
        ),
    ),
    (
        "Live",
        (
            Entry("deploy", "dayfly.cli.deploy:deploy_command"),
            Entry("destroy", "dayfly.cli.destroy:destroy_command"),
            Entry("pause", "dayfly.cli.pause:pause_command", "JOB"),
            Entry("resume", "dayfly.cli.resume:resume_command", "JOB"),
        ),
    ),
    (
        "Look",
        (
            Entry("runs", "dayfly.cli.runs:runs_command", "[JOB]"),
            Entry("show", "dayfly.cli.show:show_command", "RUN"),
            Entry("logs", "dayfly.cli.logs:logs_command", "RUN"),
            Entry("fetch", "dayfly.cli.fetch:fetch_command", "RUN"),
            Entry("ps", "dayfly.cli.ps:ps_command"),
        ),
    ),
    (
        "Fix",
        (
            Entry("retry", "dayfly.cli.retry:retry_command", "RUN"),
            Entry("cancel", "dayfly.cli.cancel:cancel_command", "RUN"),
            Entry("doctor", "dayfly.cli.doctor:doctor_command"),
        ),
    ),
    (
        "More",
        (
            Entry("permissions", "dayfly.cli.permissions:permissions_command", "[JOB]"),
            Entry("notify", "dayfly.cli.notify:notify_command"),
            Entry("local", "dayfly.cli.local:local_group"),
        ),
    ),
)
"""The groups, in the order in which a new user needs them."""

COMMANDS = {entry.name: entry for _title, entries in GROUPS for entry in entries}
