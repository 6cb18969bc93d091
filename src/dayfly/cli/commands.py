"""All commands, imported once so that they register with the group. Nothing else lives here."""

from __future__ import annotations

from dayfly.cli import cancel, check, cloud, demo, deploy, destroy, look, retry, run, start

__all__ = ["cancel", "check", "cloud", "demo", "deploy", "destroy", "look", "retry", "run", "start"]
