"""Compute the first thousand digits with Python's integers, so that a correct file exists before FLINT is loaded.

Two formulas confirm each other. Nothing here needs FLINT, a file or a clock.
"""

DIGITS = 1000
_GUARD = 20

MACHIN = ((4, 5), (-1, 239))
STORMER = ((6, 8), (2, 57), (1, 239))


def arctangents(terms: tuple[tuple[int, int], ...], digits: int) -> int:
    """Return floor(10**digits * 4 * sum(a * arctan(1/b))) for the pairs (a, b) of a Machin-like formula for pi/4."""
    one: int = 10 ** (digits + _GUARD)
    total = sum(a * _arctan_of_inverse(b, one) for a, b in terms)
    guard: int = 10**_GUARD
    return 4 * total // guard


def _arctan_of_inverse(b: int, one: int) -> int:
    power = one // b
    total, divisor, sign = power, 1, 1
    while power:
        power //= b * b
        divisor += 2
        sign = -sign
        total += sign * (power // divisor)
    return total
