"""Where deploy and destroy work: one project in one account and region, and who asks. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.core import names


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One project in one account and region. `who` is written into records; `poll_s`: seconds between two looks at AWS."""

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
