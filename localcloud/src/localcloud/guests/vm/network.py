"""The first program of a VM guest: makes the network namespace that QEMU will run in, then becomes QEMU.

In that namespace QEMU's user network reaches only two listening sockets, which are passed to the cloud. It runs under the
plain interpreter, standard library only. QEMU's command line lives in qemu.py.
"""

import json
import os
import socket
import sys
from typing import Any, NoReturn

from localcloud.guests import syscalls

METADATA = "169.254.169.254"
ENDPOINT = "169.254.0.3"
"""The cloud has an address of its own, so that a guest can refuse its users the metadata service and nothing else, as on EC2."""


def main() -> NoReturn:
    """Make the network if the plan has one, then become QEMU.

    argv[2] is the descriptor of the stream to the cloud, argv[3] the parent's pid, argv[4] the plan in JSON. The plan has
    `private` (whether to make a network), `port` (of the endpoint in it) and `command` (QEMU's).
    """
    stream = socket.socket(fileno=int(sys.argv[2]))
    plan: dict[str, Any] = json.loads(sys.argv[4])
    try:
        syscalls.die_with_parent()
        if os.getppid() != int(sys.argv[3]):
            os._exit(1)
        if plan["private"]:
            _make_network(stream, plan["port"])
        # QEMU needs no capability: its user alone decides what it may do.
        if os.getuid() == 0 and plan["private"]:
            syscalls.keep_capabilities(frozenset())
        syscalls.die_with_parent()
        os.execv(plan["command"][0], plan["command"])
    except OSError as error:
        stream.sendall(json.dumps({"launcher": "failed", "message": str(error)}).encode() + b"\n")
        os._exit(1)


def probe() -> None:
    """Make the network of a guest once. Exits with 0 if that works here."""
    here, there = socket.socketpair()
    try:
        _make_network(there, 0)
    except OSError:
        os._exit(1)
    here.close()


def _make_network(stream: socket.socket, port: int) -> None:
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as out:
            out.write(text)
    syscalls.loopback_up(METADATA, ENDPOINT)
    listeners = [_listen(METADATA, 80), _listen(ENDPOINT, port)]
    line = json.dumps({"launcher": "sockets"}).encode() + b"\n"
    socket.send_fds(stream, [line], [listener.fileno() for listener in listeners])
    for listener in listeners:
        listener.close()


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(128)
    return listener
