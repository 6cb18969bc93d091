"""Facts and values into lines, and into the documents of `--json` where the two share a thought. Pure: `now` and zones are arguments.

What is asked of the cloud is flows/'s, what is printed cli/'s. One file per screen; how times, sizes and columns look is words.py.
"""

from __future__ import annotations

from dayfly.project.screens.ending import Ending, end_lines, ending
from dayfly.project.screens.live import StepLine, live_state, run_lines, steps
from dayfly.project.screens.show import show_document, show_lines

__all__ = [
    "Ending",
    "StepLine",
    "end_lines",
    "ending",
    "live_state",
    "run_lines",
    "show_document",
    "show_lines",
    "steps",
]
