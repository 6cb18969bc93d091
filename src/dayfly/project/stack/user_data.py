"""The user data of every server: one constant text, of a boothook that arms the switch and a script that starts the agent.

Sources come in as text. Nothing about a run, a job or a project may enter here: what differs travels by tags and go.json.
"""

from __future__ import annotations

import base64
import bz2
import gzip
from collections.abc import Mapping

from dayfly.project.stack.minify import shrink

MOST_BYTES = 12 * 1024
"""What is sent may be no longer, of the 16 KiB that EC2 takes."""

_MARK = "#agent#\n"
_BORDER = "dayfly"
_LINE = 900
_SCRIPT = """\
#!/bin/sh
# Starts the agent that the boothook unpacked.
for control in "${HOME:-/tmp}/.dayfly/control" /run/dayfly; do
\t[ -f "$control/start.sh" ] && exec sh "$control/start.sh"
done
echo "dayfly switch: the boothook left no agent"
"""


def build(boothook: str, agent_sources: Mapping[str, str]) -> bytes:
    """User data, gzipped; the same bytes for the same sources.

    `boothook` is the shell text with a line `#agent#`, `agent_sources` the agent's modules (switch included) by file name. They
    travel shrunk and packed; the boothook unpacks them. Raises ValueError where the result is over MOST_BYTES or a source is
    not what is expected.
    """
    if boothook.count(_MARK) != 1:
        raise ValueError("the boothook has no line #agent#, or more than one")
    wrong = [name for name in agent_sources if not name.endswith(".py") or not name[:-3].isidentifier()]
    if wrong:
        raise ValueError(f"not names of modules: {wrong}")
    packed = _packed(shrink(dict(sorted(agent_sources.items()))))
    parts = ("cloud-boothook", _bare(boothook).replace(_MARK, packed)), ("x-shellscript", _bare(_SCRIPT))
    lines = [f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{_BORDER}"\n']
    lines += [f"--{_BORDER}\nContent-Type: text/{kind}\n\n{text}" for kind, text in parts]
    sent = gzip.compress("\n".join([*lines, f"--{_BORDER}--\n"]).encode("ascii"), compresslevel=9, mtime=0)
    if len(sent) > MOST_BYTES:
        raise ValueError(f"user data of {len(sent)} bytes: at most {MOST_BYTES}")
    return sent


def _packed(modules: Mapping[str, str]) -> str:
    """NAME, newline, text; form feeds between; bz2 (smaller than gzip for this) and base64."""
    if any("\f" in text for text in modules.values()):
        raise ValueError("a module holds a form feed")
    whole = "\f".join(f"{name}\n{text}" for name, text in modules.items())
    text = base64.b64encode(bz2.compress(whole.encode())).decode()
    return "".join(text[at : at + _LINE] + "\n" for at in range(0, len(text), _LINE))


def _bare(shell: str) -> str:
    """The same script without its comment lines, but the first and the mark."""
    first, *rest = shell.splitlines(keepends=True)
    return first + "".join(line for line in rest if line == _MARK or not line.lstrip().startswith("# "))
