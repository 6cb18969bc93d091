"""Running a build so that nothing of it outlives the builder: neither a process nor a mount, whoever is killed.

Standard library and `kernel` only, since this is the first program of a build; what is built is in build.py.
"""

import contextlib
import os
import sys

from localcloud.guests import kernel

_DIED = 128
"""A shell's word for a program that a signal ended is this and the signal's number."""


def main() -> None:
    """`-c START SOURCE BUILDER WORD...`: be that command until its end or the builder's; exits as it exits.

    Root mounts what it builds in. Those mounts are in a mount namespace of their own and the programs in a process
    namespace, and both are gone with the first process in them. A plain user's build has such namespaces by itself.
    """
    builder, words = int(sys.argv[2]), sys.argv[3:]
    kernel.die_with_parent()
    if os.getppid() != builder:
        os._exit(_DIED)
    if os.geteuid() == 0 and _leave():
        os._exit(_first(words))
    os.execv(words[0], words)


def _leave() -> bool:
    """Whether this process could leave the machine's mounts, and its children the machine's processes."""
    try:
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
    except OSError:
        return False  # a root without that right: the build itself says what it may not do
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    return True


def _first(words: list[str]) -> int:
    """Start the first process of the new namespace and wait for it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        kernel.die_with_parent()
        os.close(writer)
        os.set_blocking(reader, False)
        with contextlib.suppress(BlockingIOError):
            os.read(reader, 1)  # nobody writes: an end means that the parent died before it was asked to take us along
            os._exit(_DIED)
        os.close(reader)
        with contextlib.suppress(OSError):
            kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
        os._exit(_reap(words))
    os.close(reader)
    return _code(os.waitpid(child, 0)[1])


def _reap(words: list[str]) -> int:
    """Run the command; take the end of every process that has lost its parent until the command ends."""
    command = os.fork()
    if command == 0:
        try:
            os.execv(words[0], words)
        finally:
            os._exit(127)
    while True:
        ended, status = os.wait()
        if ended == command:
            return _code(status)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _DIED - code
