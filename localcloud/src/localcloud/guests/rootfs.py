"""The root file system of a sandboxed process guest: its own directories, and this machine's programs read-only.

Runs inside the guest's mount namespace; standard library only. Namespaces live in sandbox.py, init in init.py.
"""

import contextlib
import os
import re
import shutil
from typing import Any

from localcloud.guests import syscalls

RUN = "/run/localcloud"
"""The directory of localcloud's own files in a guest."""

# The host's directories that a guest sees read-only.
_SHOWN = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu")
# The directories that a guest has on its own disk.
_OWN = ("boot", "etc", "home", "media", "mnt", "opt", "root", "srv", "tmp", "var")
# Where the host's root is in the guest while its root file system is built.
_HOST = "/.host"
# The directories in a guest's /var and /usr/local.
_VAR = ("cache", "lib", "local", "log", "mail", "opt", "spool", "tmp")
_LOCAL = ("bin", "etc", "games", "include", "lib", "sbin", "share", "src")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_SECRET = ("shadow", "gshadow", "sudoers", "ssh", "private", "credentials", "wireguard", "krb5.keytab")
_SECRET_ENDINGS = (".key", ".keytab")
_VERBS = ("shutdown", "poweroff", "halt", "reboot", "systemctl")

_SHIM = """#!/bin/sh
# Passes a power command to the guest's init.
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


def build(plan: dict[str, Any]) -> None:
    """Build the root file system at plan["root"] and make it the root. Raises OSError.

    The root is a new tmpfs at each boot; only directories on the disk persist. The guest may have left symbolic links on
    its disk. Steps that could follow one come after the change of root, where no link leads out of the guest.
    """
    root, disk = plan["root"], plan["disk"]
    syscalls.mount("", "/", flags=syscalls.MS_SLAVE | syscalls.MS_REC)
    syscalls.mount("tmpfs", root, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=755,size=64m")
    if plan["boot"] == 1:
        _fill_disk(disk)
    for name in _OWN:
        os.mkdir(os.path.join(root, name))
        if name != "etc":
            syscalls.bind(os.path.join(disk, name), os.path.join(root, name))
    _mount_etc(plan["etc"], disk, os.path.join(root, "etc"))
    os.mkdir(root + _HOST)
    syscalls.change_root(root, _HOST)
    os.mkdir("/proc")
    syscalls.mount_proc("/proc")
    # The host's kernel settings stay read-only even where this user is root on the host.
    for name in ("sys", "irq", "bus", "fs", "sysrq-trigger"):
        if os.path.exists(f"/proc/{name}"):
            syscalls.bind(f"/proc/{name}", f"/proc/{name}", read_only=True)
    os.mkdir("/sys")
    syscalls.bind(_HOST + "/sys", "/sys", read_only=True)
    _make_run(plan)
    _bind_system(disk)
    _bind_python(plan["prefix"])
    _replace_power_commands()
    _make_devices()
    _write_host_names(plan)
    syscalls.unmount_tree(_HOST)
    os.rmdir(_HOST)


def make_etc(target: str) -> None:
    """Make the template of every guest's /etc: a copy of the host's without secrets and without the host's users."""
    for directory, names, files in os.walk("/etc"):
        names[:] = [name for name in names if not name.startswith(_SECRET)]
        copy = target + directory[len("/etc") :]
        os.makedirs(copy, exist_ok=True)
        links = [name for name in names if os.path.islink(os.path.join(directory, name))]
        for name in [*files, *links]:
            if not name.startswith(_SECRET) and not name.endswith(_SECRET_ENDINGS):
                _copy(os.path.join(directory, name), os.path.join(copy, name))
    for name, text in (("passwd", _PASSWD), ("group", _GROUP), ("os-release", _OS_RELEASE), ("machine-id", "")):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(target, name))
        _write(os.path.join(target, name), text)


def write_shims(directory: str, run: str, python: str) -> None:
    """Write the power commands and the links to `python` that stand first on a guest's PATH; `run` holds init's FIFO."""
    for verb in _VERBS:
        path = os.path.join(directory, verb)
        _write(path, _SHIM.replace("RUN", run))
        os.chmod(path, 0o755)
    for name in ("python3", os.path.basename(python)):
        with contextlib.suppress(FileExistsError):
            os.symlink(python, os.path.join(directory, name))


def make_fifo(path: str) -> None:
    """Make a FIFO that every user may write to, unless it exists."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o622)


def _write(path: str, text: str) -> None:
    with open(path, "w") as out:
        out.write(text)


def _copy(source: str, target: str) -> None:
    with contextlib.suppress(OSError):
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isfile(source) and os.access(source, os.R_OK):
            shutil.copyfile(source, target)
            os.chmod(target, os.stat(source).st_mode & 0o755 | 0o200)


def _fill_disk(disk: str) -> None:
    for name in (*_OWN, *(f"var/{n}" for n in _VAR), *(f"usr-local/{n}" for n in _LOCAL)):
        os.makedirs(os.path.join(disk, name), exist_ok=True)
    for name, target in (("var/run", "/run"), ("var/lock", "/run/lock")):
        os.symlink(target, os.path.join(disk, name))
    for name in ("tmp", "var/tmp"):
        os.chmod(os.path.join(disk, name), 0o1777)
    os.chmod(os.path.join(disk, "root"), 0o700)


def _mount_etc(template: str, disk: str, target: str) -> None:
    """Give the guest its own /etc: an overlay of the template and the guest's changes, or a copy of the template."""
    upper, work = os.path.join(disk, "etc"), os.path.join(disk, "etc-work")
    if not os.listdir(upper) or os.path.isdir(work):
        os.makedirs(work, exist_ok=True)
        escaped = [re.sub(r"([\\\\:,])", r"\\\1", path) for path in (template, upper, work)]
        try:
            options = "lowerdir={},upperdir={},workdir={},userxattr".format(*escaped)
            syscalls.mount("overlay", target, "overlay", syscalls.MS_NODEV, options)
            return
        except OSError:
            # Some file systems, and kernels before 5.11, cannot do this; a copy takes a moment longer.
            if os.listdir(upper):
                raise
            shutil.rmtree(work)
            shutil.copytree(template, upper, symlinks=True, dirs_exist_ok=True)
    syscalls.bind(upper, target)


def _make_run(plan: dict[str, Any]) -> None:
    for name in ("/run", "/run/lock", RUN, RUN + "/shims"):
        os.mkdir(name)
    os.chmod("/run/lock", 0o1777)
    write_shims(RUN + "/shims", RUN, plan["python"])


def _bind_system(disk: str) -> None:
    """Show the host's programs and libraries read-only; /usr/local belongs to the guest."""
    for name in _SHOWN:
        host, guest = f"{_HOST}/{name}", f"/{name}"
        if os.path.islink(host):
            os.symlink(os.readlink(host), guest)
        elif os.path.isdir(host):
            os.mkdir(guest)
            syscalls.bind(host, guest, read_only=True)
    if os.path.isdir("/usr/local"):
        syscalls.bind(f"{_HOST}{disk}/usr-local", "/usr/local")


def _bind_python(prefix: str) -> None:
    """Show the interpreter and its standard library at their own path, unless a system directory holds them."""
    if _is_system_prefix(prefix):
        return
    if os.path.realpath(prefix).startswith(_HOST):
        raise OSError(f"{prefix} leads out of the guest")
    os.makedirs(prefix, exist_ok=True)
    syscalls.bind(_HOST + prefix, prefix, read_only=True)


def _is_system_prefix(prefix: str) -> bool:
    below = prefix + "/"
    if below.startswith("/usr/local/"):
        return False
    return below.startswith(("/usr/", "/nix/", "/gnu/"))


def _replace_power_commands() -> None:
    """Replace `shutdown` and the other power commands by the shims, so that their full paths work too."""
    for number, directory in enumerate(dict.fromkeys(os.path.realpath(d) for d in ("/usr/sbin", "/sbin"))):
        links, host = f"{RUN}/sbin-{number}", f"{RUN}/host-sbin-{number}"
        os.mkdir(links)
        os.mkdir(host)
        syscalls.bind(directory, host, read_only=True)
        for entry in os.scandir(directory):
            if entry.name in _VERBS:
                continue
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), f"{links}/{entry.name}")
            else:
                os.symlink(f"{host}/{entry.name}", f"{links}/{entry.name}")
        for verb in _VERBS:
            os.symlink(f"{RUN}/shims/{verb}", f"{links}/{verb}")
        syscalls.bind(links, directory)
    for directory in dict.fromkeys(os.path.realpath(d) for d in ("/usr/bin", "/bin")):
        for verb in _VERBS:
            path = f"{directory}/{verb}"
            if os.path.isfile(path) and not os.path.islink(path):
                syscalls.bind(f"{RUN}/shims/{verb}", path)


def _make_devices() -> None:
    for name in ("/dev", "/dev/pts", "/dev/shm"):
        os.mkdir(name)
    for name in _DEVICES:
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        syscalls.bind(f"{_HOST}/dev/{name}", f"/dev/{name}")
    syscalls.mount("devpts", "/dev/pts", "devpts", data="newinstance,ptmxmode=0666")
    syscalls.mount("shm", "/dev/shm", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=1777")
    make_fifo("/dev/console")
    links = {
        "fd": "/proc/self/fd",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
        "ptmx": "pts/ptmx",
        "ttyS0": "console",
    }
    for name, target in links.items():
        os.symlink(target, f"/dev/{name}")


def _write_host_names(plan: dict[str, Any]) -> None:
    name = plan["hostname"]
    texts = {
        "hostname": name + "\n",
        "hosts": f"127.0.0.1 localhost\n{plan['address']} {name}.ec2.internal {name}\n",
        "resolv.conf": "",
    }
    if plan["internet"]:
        with contextlib.suppress(OSError), open(f"{_HOST}/etc/resolv.conf") as file:
            texts["resolv.conf"] = file.read()
    for file_name, text in texts.items():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"/etc/{file_name}")
        _write(f"/etc/{file_name}", text)
