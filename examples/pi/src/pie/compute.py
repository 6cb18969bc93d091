"""Compute pi as binary numbers by two formulas, with FLINT's ball arithmetic. No files, no clock, no choice of size."""

from dataclasses import dataclass
from math import ceil, log2

from flint import __FLINT_VERSION__, arb, ctx, fmpz

METHOD = f"Chudnovsky series by binary splitting in ball arithmetic (FLINT {__FLINT_VERSION__})"
SECOND = "Gauss-Legendre iteration (arithmetic-geometric mean)"

_GUARD_BITS = 64
_BITS_PER_DIGIT = log2(10)


class Unclear(ArithmeticError):
    """The error bound is too wide to determine the requested digits."""


@dataclass(frozen=True, slots=True)
class Fraction:
    """`numerator / 2**bits`: pi - 3, off by less than `2**-(bits - 2)`."""

    numerator: fmpz
    bits: int


def bits_for(digits: int) -> int:
    """Return the number of bits for `digits` decimal digits and a guard."""
    return ceil(digits * _BITS_PER_DIGIT) + _GUARD_BITS


def fraction_of_pi(digits: int, threads: int) -> Fraction:
    """Return pi - 3, precise enough for `digits` decimal digits. Raises Unclear if the error bound is wider."""
    bits = bits_for(digits)
    ctx.threads = threads
    ctx.prec = bits + 16
    return _as_fraction(arb.pi(), bits)


def _as_fraction(ball: arb, bits: int) -> Fraction:
    if not ball.rad() < arb(fmpz(1)) * arb(2) ** (-bits):
        raise Unclear(f"pi is known to fewer than {bits} bits")
    mantissa, exponent = ball.mid().man_exp()
    shift = bits + int(exponent)
    whole = mantissa >> -shift
    if shift >= 0:
        whole = mantissa << shift
    return Fraction(whole - (fmpz(3) << bits), bits)


def second_opinion(digits: int, threads: int) -> str:
    """Return `3.` and the first `digits` digits by a slower formula that shares nothing with the series."""
    bits = bits_for(digits)
    ctx.threads = threads
    ctx.prec = bits + 64
    a, b, t = arb(1), arb(0.5).sqrt(), arb(0.25)
    # Each round doubles the correct bits, starting from about 4; one extra round costs little.
    for round_ in range(ceil(log2(bits)) + 1):
        mean = (a + b) / 2
        step = a - mean
        t -= step * step * fmpz(2) ** round_
        a, b = mean, (a * b).sqrt()
    ball = (a + b) * (a + b) / (4 * t)
    cut = (ball * fmpz(10) ** digits).floor().unique_fmpz()
    if cut is None:
        raise Unclear(f"the second formula does not determine digit {digits}")
    text = str(cut)
    return f"{text[0]}.{text[1:]}"
