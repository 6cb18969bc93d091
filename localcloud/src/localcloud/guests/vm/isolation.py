"""Runs the build of a guest image so that none of its processes and mounts outlives the builder, even if the builder is killed.

This is the first program of a build, so it imports only the standard library and `syscalls`. The build lives in build.py.
"""

import contextlib
import os
import sys

from localcloud.guests import syscalls

_DIED = 128
"""A shell reports a program that a signal ended as this plus the signal's number."""


def main() -> None:
    """Run the command in sys.argv[3:] and exit as it exits; end early if the process of the pid sys.argv[2] ends.

    Root mounts what it builds in. Those mounts are in a private mount namespace and the programs in a private process
    namespace; both disappear with the first process in them. mmdebstrap makes such namespaces itself for other users.
    """
    builder, command = int(sys.argv[2]), sys.argv[3:]
    syscalls.die_with_parent()
    if os.getppid() != builder:
        os._exit(_DIED)
    if os.geteuid() == 0 and _enter_namespaces():
        os._exit(_run_first(command))
    os.execv(command[0], command)


def _enter_namespaces() -> bool:
    """Leave the machine's mounts, and the machine's processes for all children. False if this user may not."""
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID)
    except OSError:
        return False  # root without this capability: the build itself reports what it may not do
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    return True


def _run_first(command: list[str]) -> int:
    """Start the first process of the new namespace and wait for it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        syscalls.die_with_parent()
        os.close(writer)
        os.set_blocking(reader, False)
        with contextlib.suppress(BlockingIOError):
            os.read(reader, 1)  # nobody writes: an end of file means that the parent died before die_with_parent()
            os._exit(_DIED)
        os.close(reader)
        with contextlib.suppress(OSError):
            syscalls.mount_proc("/proc")
        os._exit(_run_and_reap(command))
    os.close(reader)
    return _exit_code(os.waitpid(child, 0)[1])


def _run_and_reap(command: list[str]) -> int:
    """Run the command; reap every orphan until the command ends."""
    child = os.fork()
    if child == 0:
        try:
            os.execv(command[0], command)
        finally:
            os._exit(127)
    while True:
        ended, status = os.wait()
        if ended == child:
            return _exit_code(status)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return _DIED - code
    return code
