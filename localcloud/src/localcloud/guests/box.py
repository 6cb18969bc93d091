"""A process guest from the inside: it enters namespaces, builds its root directory and becomes the guest's init.

Run by process.py as a program of its own, under the interpreter that the guest will have as `python3`; standard
library only. What runs on the cloud's side of the control socket does not live here, nor the life after boot (init.py).
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
from typing import Any

from localcloud.guests import init, kernel

_NAMESPACES = (
    kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC
)
_SHOWN = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu")
_OWN = ("boot", "etc", "home", "media", "mnt", "opt", "root", "srv", "tmp", "var")
_HOST = "/.host"
_RUN = "/run/localcloud"
_VAR = ("cache", "lib", "local", "log", "mail", "opt", "spool", "tmp")
_LOCAL = ("bin", "etc", "games", "include", "lib", "sbin", "share", "src")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_SECRET = ("shadow", "gshadow", "sudoers", "ssh", "private", "credentials", "wireguard", "krb5.keytab")
_VERBS = ("shutdown", "poweroff", "halt", "reboot", "systemctl")
# chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot sys_nice audit_write
# setfcap: what a container's root has. Not sys_admin, which could make a read-only mount writable again.
_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 23, 29, 31})

_SHIM = """#!/bin/sh
# Tells the guest's init what an ordinary system's init would be told.
verb=${0##*/}
if [ "$verb" = systemctl ]; then
  for word in "$@"; do
    case "$word" in
      -*) ;;
      poweroff|halt|reboot) echo "$word" > RUN/power; exit 0 ;;
      *) break ;;
    esac
  done
  echo "System has not been booted with systemd as init system (PID 1). Can't operate." >&2
  exit 1
fi
echo "$verb $*" > RUN/power
"""

_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"
_OS_RELEASE = 'PRETTY_NAME="localcloud process guest"\nNAME="localcloud"\nID=localcloud\n'


def main() -> None:
    """Run one boot of one guest; argv[2] is the control socket's descriptor, argv[3] the parent's pid."""
    control = socket.socket(fileno=int(sys.argv[2]))
    kernel.die_with_parent()
    if os.getppid() != int(sys.argv[3]):
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plan = _read_plan(control)
    try:
        if plan["sandbox"]:
            _enter(plan, control)
        else:
            _stay(plan, control)
    except OSError as error:
        _say(control, {"event": "failed", "message": str(error)})
        os._exit(1)


def probe() -> None:
    """Enter the namespaces of a guest once and mount what a guest mounts; exit code 0 when that works here."""
    uid, gid = os.getuid(), os.getgid()
    try:
        kernel.unshare(_NAMESPACES | kernel.CLONE_NEWNET)
        _map_user(uid, gid)
        kernel.loopback_up("169.254.169.254")
        _listen("169.254.169.254", 80).close()
        child = os.fork()
        if child == 0:
            kernel.mount("", "/", flags=kernel.MS_SLAVE | kernel.MS_REC)
            kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV)
            os.mkdir("/tmp/proc")
            kernel.mount("proc", "/tmp/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    except OSError:
        os._exit(1)


def _map_user(uid: int, gid: int) -> None:
    """Make this user, and nobody else, the root of the new user namespace."""
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")


def _read_plan(control: socket.socket) -> dict[str, Any]:
    said = b""
    while not said.endswith(b"\n"):
        chunk = control.recv(65536)
        if not chunk:
            os._exit(1)
        said += chunk
    plan: dict[str, Any] = json.loads(said)
    return plan


def _say(control: socket.socket, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    line = json.dumps(message).encode() + b"\n"
    if descriptors:
        socket.send_fds(control, [line], list(descriptors))
    else:
        control.sendall(line)


def _enter(plan: dict[str, Any], control: socket.socket) -> None:
    """The sandboxed guest: namespaces of its own, a root directory of its own."""
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(_NAMESPACES | (0 if plan["internet"] else kernel.CLONE_NEWNET))
    _map_user(uid, gid)
    socket.sethostname(plan["hostname"])
    if not plan["internet"]:
        kernel.loopback_up("169.254.169.254", plan["address"])
        metadata = _listen("169.254.169.254", 80)
        endpoint = _listen("127.0.0.1", plan["port"])
        _say(control, {"event": "sockets"}, (metadata.fileno(), endpoint.fileno()))
        metadata.close()
        endpoint.close()
    child = os.fork()
    if child:
        control.close()
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    kernel.die_with_parent()
    try:
        _build(plan)
        kernel.keep_capabilities(_CAPABILITIES)
    except OSError as error:
        _say(control, {"event": "failed", "message": str(error)})
        os._exit(1)
    init.live(plan, control, console="/dev/console", run=_RUN, sandbox=True)


def _stay(plan: dict[str, Any], control: socket.socket) -> None:
    """The guest without namespaces: this user's own view of the machine, in a directory of its own."""
    disk = plan["disk"]
    # Here init alone can find its descendants, so it must outlive the cloud for a moment: the closed socket tells it.
    kernel.outlive_parent()
    for name in ("root", "tmp", "run/localcloud", "shims"):
        os.makedirs(os.path.join(disk, name), exist_ok=True)
    _shims(os.path.join(disk, "shims"), os.path.join(disk, "run/localcloud"), plan["python"])
    console = os.path.join(disk, "run/console")
    _fifo(console)
    kernel.adopt_orphans()
    os.chdir(os.path.join(disk, "root"))
    init.live(plan, control, console=console, run=os.path.join(disk, "run/localcloud"), sandbox=False)


def _write(path: str, text: str) -> None:
    with open(path, "w") as out:
        out.write(text)


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(128)
    return listener


def _build(plan: dict[str, Any]) -> None:
    """Make a whole root file system and change into it.

    The root is a fresh tmpfs at each boot; only directories inside the disk are the guest's to keep. Everything that
    could meet a link left by the guest is done after the change of root, where a link cannot lead out.
    """
    root, disk = plan["root"], plan["disk"]
    kernel.mount("", "/", flags=kernel.MS_SLAVE | kernel.MS_REC)
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=64m")
    if plan["boot"] == 1:
        _fill_disk(disk)
    for name in _OWN:
        os.mkdir(os.path.join(root, name))
        if name != "etc":
            kernel.bind(os.path.join(disk, name), os.path.join(root, name))
    _mount_etc(plan["etc"], disk, os.path.join(root, "etc"))
    os.mkdir(root + _HOST)
    kernel.change_root(root, _HOST)
    os.mkdir("/proc")
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    # The host's settings are its own even where this user is its root.
    for name in ("sys", "irq", "bus", "fs", "sysrq-trigger"):
        if os.path.exists(f"/proc/{name}"):
            kernel.bind(f"/proc/{name}", f"/proc/{name}", read_only=True)
    os.mkdir("/sys")
    kernel.bind(_HOST + "/sys", "/sys", read_only=True)
    _run_directory(plan)
    _show_system(disk)
    _show_python(plan["prefix"])
    _sbin()
    _devices()
    _hosts(plan)
    kernel.drop_tree(_HOST)
    os.rmdir(_HOST)


def _fill_disk(disk: str) -> None:
    for name in (*_OWN, *(f"var/{n}" for n in _VAR), *(f"usr-local/{n}" for n in _LOCAL)):
        os.makedirs(os.path.join(disk, name), exist_ok=True)
    for name, target in (("var/run", "/run"), ("var/lock", "/run/lock")):
        os.symlink(target, os.path.join(disk, name))
    for name in ("tmp", "var/tmp"):
        os.chmod(os.path.join(disk, name), 0o1777)
    os.chmod(os.path.join(disk, "root"), 0o700)


def _mount_etc(template: str, disk: str, target: str) -> None:
    """Give the guest an /etc of its own: the template with the guest's changes over it, or a copy of the template."""
    upper, work = os.path.join(disk, "etc"), os.path.join(disk, "etc-work")
    if not os.listdir(upper) or os.path.isdir(work):
        os.makedirs(work, exist_ok=True)
        lower, above, beside = (re.sub(r"([\\\\:,])", r"\\\1", path) for path in (template, upper, work))
        try:
            options = f"lowerdir={lower},upperdir={above},workdir={beside},userxattr"
            kernel.mount("overlay", target, "overlay", kernel.MS_NODEV, options)
            return
        except OSError:
            # A file system, or a kernel before 5.11, that cannot; a copy costs a moment more.
            if os.listdir(upper):
                raise
            shutil.rmtree(work)
            shutil.copytree(template, upper, symlinks=True, dirs_exist_ok=True)
    kernel.bind(upper, target)


def make_etc(own: str) -> None:
    """Make the template of every guest's /etc: what the host's says to programs; no secret, no host's users."""
    for directory, names, files in os.walk("/etc"):
        names[:] = [name for name in names if not name.startswith(_SECRET)]
        there = own + directory[len("/etc") :]
        os.makedirs(there, exist_ok=True)
        for name in [*files, *(n for n in names if os.path.islink(os.path.join(directory, n)))]:
            if not name.startswith(_SECRET) and not name.endswith((".key", ".keytab")):
                _copy(os.path.join(directory, name), os.path.join(there, name))
    for name, text in (("passwd", _PASSWD), ("group", _GROUP), ("os-release", _OS_RELEASE), ("machine-id", "")):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(own, name))
        _write(os.path.join(own, name), text)


def _copy(source: str, target: str) -> None:
    with contextlib.suppress(OSError):
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isfile(source) and os.access(source, os.R_OK):
            shutil.copyfile(source, target)
            os.chmod(target, os.stat(source).st_mode & 0o755 | 0o200)


def _run_directory(plan: dict[str, Any]) -> None:
    for name in ("/run", "/run/lock", _RUN, _RUN + "/shims"):
        os.mkdir(name)
    os.chmod("/run/lock", 0o1777)
    _shims(_RUN + "/shims", _RUN, plan["python"])


def _show_system(disk: str) -> None:
    """The host's programs and libraries, read-only; /usr/local is the guest's own."""
    for name in _SHOWN:
        host, guest = f"{_HOST}/{name}", f"/{name}"
        if os.path.islink(host):
            os.symlink(os.readlink(host), guest)
        elif os.path.isdir(host):
            os.mkdir(guest)
            kernel.bind(host, guest, read_only=True)
    if os.path.isdir("/usr/local"):
        kernel.bind(f"{_HOST}{disk}/usr-local", "/usr/local")


def _show_python(prefix: str) -> None:
    """The interpreter and its standard library at their own path, if the system's directories do not hold them."""
    below = prefix + "/"
    if below == "/usr/" or (below.startswith(("/usr/", "/nix/", "/gnu/")) and not below.startswith("/usr/local/")):
        return
    if os.path.realpath(prefix).startswith(_HOST):
        raise OSError(f"{prefix} leads out of the guest")
    os.makedirs(prefix, exist_ok=True)
    kernel.bind(_HOST + prefix, prefix, read_only=True)


def _sbin() -> None:
    """Give every way to say `shutdown` to this guest's init, also where its path is written out."""
    for number, directory in enumerate(dict.fromkeys(os.path.realpath(d) for d in ("/usr/sbin", "/sbin"))):
        farm, host = f"{_RUN}/sbin-{number}", f"{_RUN}/host-sbin-{number}"
        os.mkdir(farm)
        os.mkdir(host)
        kernel.bind(directory, host, read_only=True)
        for entry in os.scandir(directory):
            if entry.name not in _VERBS:
                link = os.readlink(entry.path) if entry.is_symlink() else f"{host}/{entry.name}"
                os.symlink(link, f"{farm}/{entry.name}")
        for verb in _VERBS:
            os.symlink(f"{_RUN}/shims/{verb}", f"{farm}/{verb}")
        kernel.bind(farm, directory)
    for directory in dict.fromkeys(os.path.realpath(d) for d in ("/usr/bin", "/bin")):
        for verb in _VERBS:
            path = f"{directory}/{verb}"
            if os.path.isfile(path) and not os.path.islink(path):
                kernel.bind(f"{_RUN}/shims/{verb}", path)


def _shims(directory: str, run: str, python: str) -> None:
    for verb in _VERBS:
        path = os.path.join(directory, verb)
        _write(path, _SHIM.replace("RUN", run))
        os.chmod(path, 0o755)
    for name in ("python3", os.path.basename(python)):
        with contextlib.suppress(FileExistsError):
            os.symlink(python, os.path.join(directory, name))


def _devices() -> None:
    for name in ("/dev", "/dev/pts", "/dev/shm"):
        os.mkdir(name)
    for name in _DEVICES:
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        kernel.bind(f"{_HOST}/dev/{name}", f"/dev/{name}")
    kernel.mount("devpts", "/dev/pts", "devpts", data="newinstance,ptmxmode=0666")
    kernel.mount("shm", "/dev/shm", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
    _fifo("/dev/console")
    links = {
        "fd": "/proc/self/fd",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
    }
    for name, target in (links | {"ptmx": "pts/ptmx", "ttyS0": "console"}).items():
        os.symlink(target, f"/dev/{name}")


def _hosts(plan: dict[str, Any]) -> None:
    name = plan["hostname"]
    texts = {
        "hostname": name + "\n",
        "hosts": f"127.0.0.1 localhost\n{plan['address']} {name}.ec2.internal {name}\n",
        "resolv.conf": "",
    }
    if plan["internet"]:
        with contextlib.suppress(OSError), open(f"{_HOST}/etc/resolv.conf") as said:
            texts["resolv.conf"] = said.read()
    for file, text in texts.items():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"/etc/{file}")
        _write(f"/etc/{file}", text)


def _fifo(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o622)
