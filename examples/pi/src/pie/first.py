"""The first thousand digits, by whole numbers of Python alone: there is a correct file before anything else is loaded.

Two formulas, so that even this file is confirmed. Nothing here needs FLINT, a file or a clock.
"""

DIGITS = 1000
_GUARD = 20

MACHIN = ((4, 5), (-1, 239))
STORMER = ((6, 8), (2, 57), (1, 239))


def arctangents(terms: tuple[tuple[int, int], ...], digits: int) -> int:
    """floor(10**digits * 4 * sum(a * arctan(1/b))) for the pairs (a, b) of a formula of Machin's kind for pi/4."""
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
