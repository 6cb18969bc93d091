"""`python -m dayfly`: the same door as the console script."""

from __future__ import annotations

from dayfly.cli.main import run

run()
