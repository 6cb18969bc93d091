"""Render facts as text for a terminal and as JSON for `--json`. One module per screen; `now` and time zones are arguments.

flows/ and project/runs gather the facts, cli/ prints the lines. Nothing here calls the cloud, reads a clock or prints.
"""
