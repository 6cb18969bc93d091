"""Convert a binary fraction to a checked file of decimal digits: cut into pieces, written and read back on all cores.

Works for any fraction below 1, not only pi. The file is complete and on disk when `write_checked` returns; the caller
renames it.
"""

import ctypes
import hashlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flint import ctx, fmpz

from pie.compute import Fraction, Unclear

PRIME = (1 << 61) - 1  # residues modulo this prime compare the file with the fraction
HEAD = b"3."
_PARALLEL_FROM = 100_000  # digits; below it a fork costs more than it saves
_MARGIN_BITS = 50
_CHUNK = 1 << 30


class WrongDigits(Exception):
    """The file does not hold what was computed."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A fraction as decimal digits: `pieces[i]` has `sizes[i]` digits; `rest / 2**rest_bits` is what follows them."""

    pieces: tuple[fmpz, ...]
    sizes: tuple[int, ...]
    rest: fmpz
    rest_bits: int


def cut(fraction: Fraction, digits: int, count: int) -> Cut:
    """Return the first `digits` digits in about `count` pieces. Raises Unclear if the fraction's error could change one."""
    step = -(-digits // count)
    sizes = [min(step, digits - at) for at in range(0, digits, step)]
    rest, bits = fraction.numerator, fraction.bits
    pieces = []
    for size in sizes:
        # 10**size is 5**size * 2**size, and the second factor only moves the point: no division, and exact.
        product = rest * fmpz(5) ** size
        bits -= size
        piece = product >> bits
        rest = product - (piece << bits)
        pieces.append(piece)
    edge = fmpz(1) << (bits - _MARGIN_BITS)
    if not edge < rest < (fmpz(1) << bits) - edge:
        raise Unclear(f"the error bound does not determine digit {digits}")
    return Cut(tuple(pieces), tuple(sizes), rest, bits)


def write_checked(path: Path, fraction: Fraction, digits: int, cores: int) -> str:
    """Write `3.`, the digits and a newline durably to `path`, read all of it back, and return its SHA-256 in hex.

    Raises WrongDigits if the digits in the file are not the pieces computed, or do not satisfy, modulo PRIME,
    `fraction * 10**digits = digits as a number + rest`. Raises OSError if writing fails.
    """
    ctx.threads = cores
    count = 1
    if digits >= _PARALLEL_FROM and can_fork():
        count = cores
    parts = cut(fraction, digits, count)
    ctx.threads = 1  # ends FLINT's threads: a forked child would wait for them forever
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.pwrite(file, HEAD, 0)
        os.pwrite(file, b"\n", len(HEAD) + digits)
        check_identity(fraction, digits, parts, _write_pieces(file, parts))
        return _sync_and_hash(file)
    finally:
        os.close(file)


def check_identity(fraction: Fraction, digits: int, parts: Cut, residues: Sequence[int]) -> None:
    """Raise WrongDigits unless the pieces' `residues` (modulo PRIME, as read back) add up to the fraction."""
    number = 0
    for size, residue in zip(parts.sizes, residues, strict=True):
        number = (number * pow(10, size, PRIME) + residue) % PRIME
    found = number * pow(2, parts.rest_bits, PRIME) + int(parts.rest % PRIME)
    expected = int(fraction.numerator % PRIME) * pow(5, digits, PRIME)
    if (found - expected) % PRIME:
        raise WrongDigits("the digits in the file do not add up to the number that was computed")


def write_piece(file: int, offset: int, piece: fmpz, size: int) -> int:
    """Write one piece, zero-padded, read it back and return its residue modulo PRIME. Raises WrongDigits."""
    _write_at(file, piece.str().zfill(size).encode(), offset)
    return read_piece(file, offset, piece, size)


def read_piece(file: int, offset: int, piece: fmpz, size: int) -> int:
    """Read the digits at `offset` and return their residue modulo PRIME. Raises WrongDigits if they are not `piece`."""
    text = _read_at(file, size, offset)
    if len(text) != size or not text.isdigit():
        raise WrongDigits("the file holds characters that are not digits")
    number = fmpz(text.decode())
    if number != piece:
        raise WrongDigits("the digits in the file are not the number that was computed")
    return int(number % PRIME)


def _write_pieces(file: int, parts: Cut) -> list[int]:
    offsets = [len(HEAD) + sum(parts.sizes[:i]) for i in range(len(parts.sizes))]
    jobs = list(zip(offsets, parts.pieces, parts.sizes, strict=True))
    if len(jobs) == 1:
        return [write_piece(file, *jobs[0])]
    reader, writer = os.pipe()
    children = [_fork(_write_and_report, writer, i, file, *job) for i, job in enumerate(jobs)]
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        lines = pipe.read().split()
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    failed = [code for code in codes if code]
    residues = {int(index): int(residue) for index, residue in zip(lines[::2], lines[1::2], strict=True)}
    if failed or len(residues) != len(jobs):
        if _WRONG in failed or not failed:
            raise WrongDigits("the digits in the file are not the number that was computed")
        raise OSError(f"writing the digits failed: a child process ended with {failed[0]}")
    return [residues[i] for i in range(len(jobs))]


_WRONG = 3
"""Exit code of a child process that found wrong digits."""


def _write_and_report(writer: int, index: int, file: int, offset: int, piece: fmpz, size: int) -> None:
    residue = write_piece(file, offset, piece, size)
    os.write(writer, b"%d %d\n" % (index, residue))  # shorter than PIPE_BUF, so lines never mix


def _fork(act: Callable[..., None], *arguments: Any) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        end_with_parent(parent)
        act(*arguments)
        code = 0
    except WrongDigits:
        code = _WRONG
    except (OSError, MemoryError) as error:
        sys.stderr.write(f"pie: {error}\n")
    finally:
        os._exit(code)


def can_fork() -> bool:
    """Return whether a forked process can be made to end with its parent (Linux); without that, nothing is forked."""
    return sys.platform == "linux"


def end_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` ends."""
    if can_fork():
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)  # 1 is PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def _write_at(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view[:_CHUNK], offset)
        view, offset = view[done:], offset + done


def _read_at(file: int, size: int, offset: int) -> bytes:
    chunks = []
    while size > 0 and (chunk := os.pread(file, min(size, _CHUNK), offset)):
        chunks.append(chunk)
        size, offset = size - len(chunk), offset + len(chunk)
    return b"".join(chunks)


def _sync_and_hash(file: int) -> str:
    """Flush the file to disk and hash it meanwhile; return the SHA-256 in hex."""
    failed: list[OSError] = []

    def sync() -> None:
        try:
            os.fsync(file)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=sync)
    thread.start()
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(file, 1 << 20, offset):
        digest.update(chunk)
        offset += len(chunk)
    thread.join()
    if failed:
        raise failed[0]
    return digest.hexdigest()
