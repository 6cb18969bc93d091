"""The rule that closes the metadata service to every user but root, in a network of its own where that service answers.

The whole is in tests/system/test_vm_rights.py, on a server. This needs root, as the agent does.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src"
NETWORK = """
ip link set lo up
ip addr add 169.254.169.254/32 dev lo
ip -6 addr add fd00:ec2::254/128 dev lo nodad
# On a server the address is another machine's, so the rules decide before the table of its own addresses.
for family in -4 -6; do
  ip $family rule add priority 200 lookup local
  ip $family rule del priority 0
done
exec "$0" -c "$1"
"""
PROGRAM = f"""
import os, socket, sys
sys.path.insert(0, {str(SOURCE)!r})
from dayfly.remote.agent import isolation, outcome
held = [socket.create_server((host, 80), family=family)
        for family, host in ((socket.AF_INET, "169.254.169.254"), (socket.AF_INET6, "fd00:ec2::254"))]
os.environ["PATH"] = PATH_OF_IP
try:
    isolation.close_metadata(12345, 12345)
    shown = [os.popen(f"ip -d {{family}} rule show priority 100").read() for family in ("-4", "-6")]
    print("closed", ["proto kernel" in rule for rule in shown])
except outcome.NotStarted as problem:
    print(problem.reason, problem.detail)
for listener in held:
    socket.create_connection(listener.getsockname()[:2], 3).close()
print("root still reaches both")
"""


PYTHON = "/usr/bin/python3"
"""The system's: another user may not reach the one that runs the tests."""


def said(path: str = "/usr/sbin:/usr/bin:/sbin:/bin") -> list[str]:
    """Run the agent's step in a new network; return what it printed. `path`: where it finds `ip`."""
    program = PROGRAM.replace("PATH_OF_IP", repr(path))
    words = ["unshare", "-n", "sh", "-euc", NETWORK, PYTHON, program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if done.returncode and "Operation not permitted" in done.stderr:
        pytest.skip("needs root")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists(PYTHON), reason="needs root and a Python of the system"
)


@needs_root
def test_metadata_is_closed_to_users_and_not_to_root() -> None:
    assert said() == ["closed [True, True]", "root still reaches both"]


@needs_root
def test_rule_that_cannot_be_set_ends_the_run() -> None:
    why, rest = said(path="/nowhere")
    assert why.startswith("no-isolation 169.254.169.254 can be reached; ip rule: ")
    assert rest == "root still reaches both"


@needs_root
def test_rule_for_one_address_alone_is_not_enough(tmp_path: Path) -> None:
    only_four = tmp_path / "ip"
    only_four.write_text('#!/bin/sh\n[ "$1" = -4 ] && exec /usr/sbin/ip "$@"\necho not today\nexit 2\n')
    only_four.chmod(0o755)
    why, _ = said(path=f"{tmp_path}:/usr/bin:/bin")
    assert why == "no-isolation fd00:ec2::254 can be reached; ip rule: not today"
