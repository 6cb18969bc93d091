"""Build the user data, which is the same for every server: a boothook that arms the switch, and a script that starts the first stage.

Sources come in as text and are sent as they are. Nothing about a run, a job or a project may enter here; that reaches a server by
tags and go.json.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping

MOST_BYTES = 10 * 1024
"""The limit for what is sent. EC2 takes 16 KiB."""

_PLACEHOLDER = "#modules#\n"
_BOUNDARY = "dayfly-part"
_MODULE_END = "dayfly-module-end"
_SCRIPT = """\
#!/bin/sh
# Starts the first stage that the boothook wrote.
for control in "${HOME:-/tmp}/.dayfly/control" /run/dayfly; do
\t[ -f "$control/start.sh" ] && exec sh "$control/start.sh"
done
echo "dayfly switch: the boothook wrote no first stage"
"""


def build(boothook: str, modules: Mapping[str, str]) -> bytes:
    """Return the user data, gzipped; the same bytes for the same sources.

    `boothook`: a shell script with one line `#modules#`, in place of which it writes `modules` (text by file name) into the folder
    `$package/dayfly/remote/boot`. Raises ValueError if the result is over MOST_BYTES or a source is not as described.
    """
    if boothook.count(_PLACEHOLDER) != 1:
        raise ValueError("the boothook must have exactly one line #modules#")
    written = "".join(_written(name, text) for name, text in sorted(modules.items()))
    parts = (("cloud-boothook", boothook.replace(_PLACEHOLDER, written)), ("x-shellscript", _SCRIPT))
    lines = [f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{_BOUNDARY}"\n']
    lines += [f"--{_BOUNDARY}\nContent-Type: text/{kind}\n\n{text}" for kind, text in parts]
    sent = gzip.compress("\n".join([*lines, f"--{_BOUNDARY}--\n"]).encode("ascii"), compresslevel=9, mtime=0)
    if len(sent) > MOST_BYTES:
        raise ValueError(f"the user data is {len(sent)} bytes; the limit is {MOST_BYTES}")
    return sent


def _written(name: str, text: str) -> str:
    """Return the shell command that writes a module. Raises ValueError for a name or text that it cannot write."""
    if not name.endswith(".py") or not name[:-3].isidentifier():
        raise ValueError(f"not the file name of a module: {name}")
    lines = text.split("\n")
    if lines[-1] or _MODULE_END in lines or f"--{_BOUNDARY}" in lines:
        raise ValueError(f"{name} must end with a newline and may not hold the lines that end a module or a part")
    return f"cat >\"$package/dayfly/remote/boot/{name}\" <<'{_MODULE_END}'\n{text}{_MODULE_END}\n"
