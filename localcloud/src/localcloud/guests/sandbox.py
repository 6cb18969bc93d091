"""The first process of a process guest: enters namespaces, builds the root file system, and becomes the guest's init.

process.py runs it as a separate program, under the interpreter that the guest has as `python3`; standard library only.
The root file system lives in rootfs.py, the life after boot in init.py.
"""

import json
import os
import signal
import socket
import sys
from typing import Any

from localcloud.guests import init, rootfs, syscalls

_NAMESPACES = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWIPC
)
# chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot sys_nice audit_write
# setfcap: what root in a container has. Without sys_admin, which could make a read-only mount writable again.
_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 23, 29, 31})
_METADATA = "169.254.169.254"


def main() -> None:
    """Run one boot of one guest; argv[2] is the descriptor of the control socket, argv[3] the parent's pid."""
    control = socket.socket(fileno=int(sys.argv[2]))
    syscalls.die_with_parent()
    if os.getppid() != int(sys.argv[3]):
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plan = _read_plan(control)
    try:
        if plan["sandbox"]:
            _run_in_namespaces(plan, control)
        else:
            _run_without_namespaces(plan, control)
    except OSError as error:
        _send(control, {"event": "failed", "message": str(error)})
        os._exit(1)


def probe() -> None:
    """Enter the namespaces of a guest once and mount what a guest mounts. Exits with 0 if that works here."""
    uid, gid = os.getuid(), os.getgid()
    try:
        syscalls.unshare(_NAMESPACES | syscalls.CLONE_NEWNET)
        _map_user(uid, gid)
        syscalls.loopback_up(_METADATA)
        _listen(_METADATA, 80).close()
        child = os.fork()
        if child == 0:
            syscalls.mount("", "/", flags=syscalls.MS_SLAVE | syscalls.MS_REC)
            syscalls.mount("tmpfs", "/tmp", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV)
            os.mkdir("/tmp/proc")
            syscalls.mount_proc("/tmp/proc")
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    except OSError:
        os._exit(1)


def _map_user(uid: int, gid: int) -> None:
    """Make this user, and no other, root in the new user namespace."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as out:
            out.write(text)


def _read_plan(control: socket.socket) -> dict[str, Any]:
    received = b""
    while not received.endswith(b"\n"):
        chunk = control.recv(65536)
        if not chunk:
            os._exit(1)
        received += chunk
    plan: dict[str, Any] = json.loads(received)
    return plan


def _send(control: socket.socket, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    line = json.dumps(message).encode() + b"\n"
    if descriptors:
        socket.send_fds(control, [line], list(descriptors))
    else:
        control.sendall(line)


def _run_in_namespaces(plan: dict[str, Any], control: socket.socket) -> None:
    uid, gid = os.getuid(), os.getgid()
    if plan["internet"]:
        syscalls.unshare(_NAMESPACES)
    else:
        syscalls.unshare(_NAMESPACES | syscalls.CLONE_NEWNET)
    _map_user(uid, gid)
    socket.sethostname(plan["hostname"])
    if not plan["internet"]:
        _make_network(plan, control)
    child = os.fork()
    if child:
        control.close()
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    syscalls.die_with_parent()
    try:
        rootfs.build(plan)
        syscalls.keep_capabilities(_CAPABILITIES)
    except OSError as error:
        _send(control, {"event": "failed", "message": str(error)})
        os._exit(1)
    init.run(plan, control, console="/dev/console", directory=rootfs.RUN, sandbox=True)


def _make_network(plan: dict[str, Any], control: socket.socket) -> None:
    """Start the loopback interface and pass the two listening sockets of the guest to the cloud."""
    syscalls.loopback_up(_METADATA, plan["address"])
    metadata = _listen(_METADATA, 80)
    endpoint = _listen("127.0.0.1", plan["port"])
    _send(control, {"event": "sockets"}, (metadata.fileno(), endpoint.fileno()))
    metadata.close()
    endpoint.close()


def _run_without_namespaces(plan: dict[str, Any], control: socket.socket) -> None:
    """Run the guest in its own directory, with this user's view of the machine."""
    disk = plan["disk"]
    # Here only init can find its descendants, so it must outlive the cloud for a moment: the closed socket tells it to end.
    syscalls.outlive_parent()
    for name in ("root", "tmp", "run/localcloud", "shims"):
        os.makedirs(os.path.join(disk, name), exist_ok=True)
    rootfs.write_shims(os.path.join(disk, "shims"), os.path.join(disk, "run/localcloud"), plan["python"])
    console = os.path.join(disk, "run/console")
    rootfs.make_fifo(console)
    syscalls.adopt_orphans()
    os.chdir(os.path.join(disk, "root"))
    init.run(plan, control, console=console, directory=os.path.join(disk, "run/localcloud"), sandbox=False)


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(128)
    return listener
