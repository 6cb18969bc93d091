"""The first program of a machine guest, before QEMU takes its place: it makes the network that QEMU will stand in.

With namespaces, QEMU's user network connects out inside a network of its own, where nothing is but two listening sockets,
which are passed to the cloud. Run under the plain interpreter; standard library only. QEMU's own words are in qemu.py.
"""

import json
import os
import socket
import sys
from typing import Any, NoReturn

from localcloud.guests import kernel

METADATA = "169.254.169.254"


def main() -> NoReturn:
    """argv[2] is the descriptor of the stream to the cloud, argv[3] the parent's pid, argv[4] the plan in JSON:
    `private` (make a network), `port` (of the endpoint in it) and `command` (what to become)."""
    stream = socket.socket(fileno=int(sys.argv[2]))
    plan: dict[str, Any] = json.loads(sys.argv[4])
    try:
        kernel.die_with_parent()
        if os.getppid() != int(sys.argv[3]):
            os._exit(1)
        if plan["private"]:
            _make_network(stream, plan["port"])
        # What QEMU may do follows from its user alone; its own network's root needs nothing more.
        if os.getuid() == 0 and plan["private"]:
            kernel.keep_capabilities(frozenset())
        kernel.die_with_parent()
        os.execv(plan["command"][0], plan["command"])
    except OSError as error:
        stream.sendall(json.dumps({"begun": "failed", "message": str(error)}).encode() + b"\n")
        os._exit(1)


def probe() -> None:
    """Make the network of a guest once; exit code 0 when that works here."""
    here, there = socket.socketpair()
    try:
        _make_network(there, 0)
    except OSError:
        os._exit(1)
    here.close()


def _make_network(stream: socket.socket, port: int) -> None:
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as out:
            out.write(text)
    kernel.loopback_up(METADATA)
    listening = [_listen(80), _listen(port)]
    line = json.dumps({"begun": "sockets"}).encode() + b"\n"
    socket.send_fds(stream, [line], [one.fileno() for one in listening])
    for one in listening:
        one.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((METADATA, port))
    listener.listen(128)
    return listener
