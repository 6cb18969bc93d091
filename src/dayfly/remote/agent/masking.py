"""Replace secrets by `***` in a stream of bytes, also where a block ends in the middle of one. The log uses it; nothing here knows AWS.

What is masked: each secret as it is, and each line of a secret that has several. A form that the job encodes is not recognized.
"""

from __future__ import annotations

from collections.abc import Iterable

SHORTEST = 4
"""A secret of fewer characters cannot be masked: it would be found everywhere."""
_MASK = b"***"


class Masker:
    """Masks one stream. Bytes that may be the start of a secret are kept back until the next block decides."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found: set[bytes] = set()
        for secret in secrets:
            lines = [line.strip() for line in secret.splitlines()]
            found.update(text.encode() for text in (secret, secret.strip(), *lines) if len(text) >= SHORTEST)
        self._secrets = sorted(found)
        self._held = b""
        self._covered = 0  # so many bytes of `_held` belong to a secret whose mask is written already

    def feed(self, block: bytes) -> bytes:
        """Return what can be written now."""
        if not self._secrets:
            return block
        data = self._held + block
        return self._write(data, self._first_start(data))

    def flush(self) -> bytes:
        """Return the rest. The start of a secret at the very end is masked too if it is long enough to say much."""
        data, covered = self._held, self._covered
        self._held, self._covered = b"", 0
        rest = data[covered:]
        if len(rest) >= SHORTEST:
            return _MASK
        return rest

    def _write(self, data: bytes, until: int) -> bytes:
        """Return data up to `until` with its secrets masked, and keep the rest."""
        out: list[bytes] = []
        at = 0
        for start, end in self._spans(data):
            if start >= until:
                break
            out.append(data[at:start])
            if start > 0 or not self._covered:
                out.append(_MASK)
            at = end
        out.append(data[at:until])
        self._held, self._covered = data[until:], max(0, at - until)
        return b"".join(out)

    def _spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return where secrets are, sorted; those that overlap are one."""
        found = [(0, self._covered)]
        for secret in self._secrets:
            start = data.find(secret)
            while start >= 0:
                found.append((start, start + len(secret)))
                start = data.find(secret, start + 1)
        joined: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if start == end:
                continue
            if joined and start < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def _first_start(self, data: bytes) -> int:
        """Return where the earliest secret starts that is not whole in `data`, or the length of `data`."""
        first = len(data)
        for secret in self._secrets:
            start = data.find(secret[:1], max(0, len(data) - len(secret) + 1))
            while 0 <= start < first:
                if secret.startswith(data[start:]):
                    first = start
                start = data.find(secret[:1], start + 1)
        return first
