"""Build the user data, which is the same for every server: a boothook that arms the switch, and a script that starts the agent.

Sources come in as text. Nothing about a run, a job or a project may enter here; that reaches a server by tags and go.json.
"""

from __future__ import annotations

import base64
import bz2
import gzip
from collections.abc import Mapping

from dayfly.project.stack.minify import minify

MOST_BYTES = 12 * 1024
"""The limit for what is sent. EC2 takes 16 KiB."""

_PLACEHOLDER = "#agent#\n"
_BOUNDARY = "dayfly"
_LINE_LENGTH = 900
_SCRIPT = """\
#!/bin/sh
# Starts the agent that the boothook unpacked.
for control in "${HOME:-/tmp}/.dayfly/control" /run/dayfly; do
\t[ -f "$control/start.sh" ] && exec sh "$control/start.sh"
done
echo "dayfly switch: the boothook unpacked no agent"
"""


def build(boothook: str, agent_sources: Mapping[str, str]) -> bytes:
    """Return the user data, gzipped; the same bytes for the same sources.

    `boothook`: a shell script with one line `#agent#`. `agent_sources`: the agent's modules (with the switch) by file name. They are
    minified, packed and put in place of that line; the boothook unpacks them. Raises ValueError if the result is over MOST_BYTES or
    a source is not as described.
    """
    if boothook.count(_PLACEHOLDER) != 1:
        raise ValueError("the boothook must have exactly one line #agent#")
    invalid = [name for name in agent_sources if not name.endswith(".py") or not name[:-3].isidentifier()]
    if invalid:
        raise ValueError(f"not file names of modules: {invalid}")
    packed = _pack(minify(dict(sorted(agent_sources.items()))))
    parts = (
        ("cloud-boothook", _without_comments(boothook).replace(_PLACEHOLDER, packed)),
        ("x-shellscript", _without_comments(_SCRIPT)),
    )
    lines = [f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{_BOUNDARY}"\n']
    lines += [f"--{_BOUNDARY}\nContent-Type: text/{kind}\n\n{text}" for kind, text in parts]
    sent = gzip.compress("\n".join([*lines, f"--{_BOUNDARY}--\n"]).encode("ascii"), compresslevel=9, mtime=0)
    if len(sent) > MOST_BYTES:
        raise ValueError(f"the user data is {len(sent)} bytes; the limit is {MOST_BYTES}")
    return sent


def _pack(modules: Mapping[str, str]) -> str:
    """Join the modules (name, newline, text; separated by form feeds), compress them with bz2 and encode them as base64.

    bz2 is smaller than gzip here.
    """
    if any("\f" in text for text in modules.values()):
        raise ValueError("a module contains a form feed")
    whole = "\f".join(f"{name}\n{text}" for name, text in modules.items())
    text = base64.b64encode(bz2.compress(whole.encode())).decode()
    return "".join(text[at : at + _LINE_LENGTH] + "\n" for at in range(0, len(text), _LINE_LENGTH))


def _without_comments(shell: str) -> str:
    """Return a shell script without its comment lines; the first line and the placeholder stay."""
    first, *rest = shell.splitlines(keepends=True)
    return first + "".join(line for line in rest if line == _PLACEHOLDER or not line.lstrip().startswith("# "))
