"""All commands, imported once so that they register with the group. Nothing else lives here."""

from __future__ import annotations

from dayfly.cli import check, cloud, demo, deploy, destroy, look, mend, run, start

__all__ = ["check", "cloud", "demo", "deploy", "destroy", "look", "mend", "run", "start"]
