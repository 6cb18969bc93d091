"""The checks detect a planted wrong digit, wherever it is planted."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pie_calls import WITHOUT_FLINT, euler_digits

flint = pytest.importorskip("flint", reason=WITHOUT_FLINT)

from pie import compute, first, text  # noqa: E402
from pie.search import Search  # noqa: E402

DIGITS = 5000


def with_another_digit(digits: bytes, at: int) -> bytes:
    """Return the digits with a different one at `at`."""
    other = b"%d" % ((int(digits[at : at + 1]) + 1) % 10)
    return digits[:at] + other + digits[at + 1 :]


@pytest.fixture
def fraction() -> compute.Fraction:
    return compute.fraction_of_pi(DIGITS, 1)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "digits", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("pieces", [1, 2, 3, 7])
def test_pieces_join_to_the_digits(fraction: compute.Fraction, pieces: int) -> None:
    parts = text.cut(fraction, DIGITS, pieces)
    joined = "".join(str(p).zfill(s) for p, s in zip(parts.pieces, parts.sizes, strict=True))
    assert f"3.{joined}" == euler_digits(DIGITS)


@pytest.mark.parametrize("at", [0, 1, 2500, DIGITS - 1])
def test_changed_digit_in_the_file_is_detected(fraction: compute.Fraction, file: int, at: int) -> None:
    (piece,) = text.cut(fraction, DIGITS, 1).pieces
    text.write_piece(file, 0, piece, DIGITS)
    assert text.read_piece(file, 0, piece, DIGITS) == int(piece % text.PRIME)
    digit = int(os.pread(file, 1, at))
    os.pwrite(file, str((digit + 1) % 10).encode(), at)
    with pytest.raises(text.WrongDigits):
        text.read_piece(file, 0, piece, DIGITS)


def test_leading_zeros_of_a_piece_are_written(file: int) -> None:
    assert text.write_piece(file, 0, flint.fmpz(70), 5) == 70
    assert os.pread(file, 10, 0) == b"00070"


def test_confirmation_is_reported_without_a_further_result(tmp_path: Path) -> None:
    reported: list[dict[str, object]] = []
    search = Search(tmp_path, "digits", 1, time.monotonic() + 60, reported.append)
    search.make(DIGITS)
    search.confirm_by_second()
    assert set(reported[-1]) == {"checked"}
    assert "second formula" in str(reported[-1])
    assert "earlier" not in str(reported[-1])


@pytest.mark.parametrize("bad", [b" ", b"\n", b"_", b"-"])
def test_character_that_is_not_a_digit_is_detected(fraction: compute.Fraction, file: int, bad: bytes) -> None:
    (piece,) = text.cut(fraction, DIGITS, 1).pieces
    text.write_piece(file, 0, piece, DIGITS)
    os.pwrite(file, bad, 17)
    with pytest.raises(text.WrongDigits):
        text.read_piece(file, 0, piece, DIGITS)


def test_wrongly_cut_piece_is_detected(fraction: compute.Fraction) -> None:
    parts = text.cut(fraction, DIGITS, 3)
    residues = [int(p % text.PRIME) for p in parts.pieces]
    text.check_identity(fraction, DIGITS, parts, residues)
    for i in range(3):
        wrong = list(residues)
        wrong[i] = (wrong[i] + 1) % text.PRIME
        with pytest.raises(text.WrongDigits):
            text.check_identity(fraction, DIGITS, parts, wrong)


def test_number_too_close_to_the_next_digit_is_refused() -> None:
    bits = compute.bits_for(10)
    half = flint.fmpz(1) << (bits - 1)  # exactly 0.5: with a slightly smaller number the digits are 0.4999
    with pytest.raises(compute.Unclear):
        text.cut(compute.Fraction(half, bits), 10, 1)


def test_second_formula_detects_a_wrong_digit(tmp_path: Path) -> None:
    reported: list[dict[str, object]] = []
    search = Search(tmp_path, "digits", 1, time.monotonic() + 60, reported.append)
    search.make(DIGITS)
    wrong = with_another_digit(search.before, 100)
    search.confirm_by_second()
    assert len(search.second) > 101
    search.before = wrong
    with pytest.raises(text.WrongDigits, match="Gauss-Legendre"):
        search.compare(wrong)


def test_result_that_differs_from_the_last_is_detected(tmp_path: Path) -> None:
    reported: list[dict[str, object]] = []
    search = Search(tmp_path, "digits", 1, time.monotonic() + 60, reported.append)
    search.make(DIGITS)
    search.before = with_another_digit(search.before, len(search.before) - 1)
    with pytest.raises(text.WrongDigits, match="earlier result"):
        search.make(2 * DIGITS)
    assert [line["digits"] for line in reported] == [DIGITS]


def test_all_formulas_agree_with_a_third() -> None:
    known = euler_digits(DIGITS)
    assert compute.second_opinion(DIGITS, 1) == known
    for formula in (first.MACHIN, first.STORMER):
        assert str(first.arctangents(formula, first.DIGITS)) == "3" + known[2 : 2 + first.DIGITS]


def test_forked_pieces_write_the_same_file_as_one_piece(tmp_path: Path) -> None:
    digits = 150_000
    fraction = compute.fraction_of_pi(digits, 1)
    one = text.write_checked(tmp_path / "one", fraction, digits, 1)
    three = text.write_checked(tmp_path / "three", fraction, digits, 3)
    assert one == three
    assert (tmp_path / "three").read_bytes().startswith(euler_digits(2000).encode())
