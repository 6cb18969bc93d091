"""A small part of `make fuzz`, with a fixed seed."""

from __future__ import annotations

import pytest

from fuzz.__main__ import KINDS, chance, run

PART = {"events": 20, "facts": 30, "files": 60, "tags": 10}


@pytest.mark.parametrize("kind", PART)
def test_part_of_the_fuzz_holds(kind, capsys):
    held = run(7, kind, range(PART[kind]))
    assert held, capsys.readouterr().out


def test_case_depends_on_its_seed_kind_and_number_alone():
    assert [chance(1, "facts", 2).random() for _ in range(2)] == [chance(1, "facts", 2).random()] * 2
    assert len({chance(seed, kind, 1).random() for seed in (1, 2) for kind in KINDS}) == 2 * len(KINDS)
