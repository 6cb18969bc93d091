"""The user data of every server: one constant text, of a boothook that arms the switch and a script that starts the agent.

Sources come in as text. Nothing about a run, a job or a project may enter here: what differs travels by tags and go.json.
"""

from __future__ import annotations

import ast
import gzip
from collections.abc import Mapping

MOST_BYTES = 12 * 1024
"""What is sent may be no longer; EC2 takes 16 KiB, own parts of users come on top."""

_MARK = "#switch.py#\n"
_BORDER = "==dayfly=="
_PACKAGE = "dayfly/remote/agent"
_START = """\
#!/bin/sh
# Unpacks the agent beside the switch and starts it under the switch's eyes.
umask 022
machine=
control=${HOME:-/tmp}/.dayfly/control
if [ -z "$AWS_EC2_METADATA_SERVICE_ENDPOINT" ] && [ -e /run/dayfly/switch.py ] && [ "$(cat /proc/1/comm)" = systemd ]; then
    machine=systemd
    control=/run/dayfly
fi
package=$control/package
mkdir -p "$package/PACKAGE"
"""


def build(boothook: str, switch: str, agent_sources: Mapping[str, str]) -> bytes:
    """User data, gzipped; the same bytes for the same sources.

    `boothook` is the shell text with a line `#switch.py#`, `switch` the Python text for it, `agent_sources` the agent's modules
    by file name. Docstrings and comments stay at home. Raises ValueError where the result is over MOST_BYTES or a source is
    not what is expected.
    """
    if boothook.count(_MARK) != 1:
        raise ValueError("the boothook has no line #switch.py#, or more than one")
    parts = (
        ("text/cloud-boothook", "boothook.sh", boothook.replace(_MARK, bare(switch))),
        ("text/x-shellscript", "agent.sh", _starter(agent_sources)),
    )
    lines = [f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{_BORDER}"\n']
    for kind, name, text in parts:
        if _BORDER in text:
            raise ValueError(f"{name} holds the border of MIME parts")
        lines.append(
            f"--{_BORDER}\nContent-Type: {kind}; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
            f'Content-Disposition: attachment; filename="{name}"\n\n{text}'
        )
    lines.append(f"--{_BORDER}--\n")
    sent = gzip.compress("\n".join(lines).encode(), compresslevel=9, mtime=0)
    if len(sent) > MOST_BYTES:
        raise ValueError(f"user data of {len(sent)} bytes: at most {MOST_BYTES}")
    return sent


def bare(source: str) -> str:
    """The same Python without docstrings and comments. Raises SyntaxError."""
    tree = ast.parse(source)
    for place in ast.walk(tree):
        body = getattr(place, "body", None)
        if isinstance(body, list):
            kept = [line for line in body if not _is_text(line)]
            place.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree).replace("    ", "\t") + "\n"


def _is_text(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _starter(sources: Mapping[str, str]) -> str:
    text = _START.replace("PACKAGE", _PACKAGE)
    for name, source in sorted(sources.items()):
        if not name.endswith(".py") or not name[:-3].isidentifier():
            raise ValueError(f"not the name of a module: {name!r}")
        text += f"cat >\"$package/{_PACKAGE}/{name}\" <<'AGENT_PY'\n{bare(source)}AGENT_PY\n"
    return text + 'exec python3 -I -S "$control/switch.py" start "$control" "$machine" "$package"\n'
