"""What deploy and destroy work on: one project in one account and region, and the user who started the command."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.core import names


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One project in one account and region. `who`: the user, for records. `poll_s`: seconds between two requests while waiting."""

    project: str
    account: str
    region: str
    who: str
    poll_s: float

    @property
    def bucket(self) -> str:
        return names.bucket(self.project, self.account, self.region)

    @property
    def stack(self) -> str:
        """The name of the stack, which is also that of the schedule group in it."""
        return names.stack(self.project)
