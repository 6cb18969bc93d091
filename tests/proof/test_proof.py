"""The rendered policies allow every call that dayfly makes, and no attack. A new call needs a row in requests.py, and a permission."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from dayfly.cloud.interpreter import ANSWERS
from proof import linters, proof, recorded
from proof.attacks import ALLOWED, CASES, DENIED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def calls() -> dict[str, list]:
    return {who: run() for who, run in recorded.ACTORS.items()}


@pytest.fixture(scope="module")
def evaluator() -> None:
    if proof.missing():
        pytest.skip(proof.missing())


def test_every_call_of_the_interpreter_is_recorded(calls: dict[str, list]) -> None:
    made = {type(call) for of_one in calls.values() for call in of_one}
    assert {each.__name__ for each in set(ANSWERS) - made - recorded.NO_REQUEST} == set()


def test_every_operation_in_the_source_is_recorded(calls: dict[str, list]) -> None:
    asking = [call for of_one in calls.values() for call in recorded.different(of_one)]
    shown = {operation.partition(".")[2] for call in asking for operation, _ in recorded.operations(call)}
    assert recorded.operations_in_source() - shown == set()


@pytest.mark.usefixtures("evaluator")
def test_policies_allow_what_dayfly_does_and_no_attack() -> None:
    judged = proof.judge(proof.all_cases())
    assert [each for each in judged if not each.right] == []


@pytest.mark.usefixtures("evaluator")
def test_evaluator_denies_a_call_whose_permission_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    role = proof.ROLES["kill"]
    monkeypatch.setitem(proof.ROLES, "kill", replace(role, policies=()))
    [case] = [each for each in CASES if each.name == "end a server at its deadline"]
    assert [each.got for each in proof.judge([case])] == [DENIED]


def test_table_has_attacks_on_every_role() -> None:
    assert len(CASES) >= 60
    assert Counter(case.expected for case in CASES)[DENIED] >= 40
    assert {case.role for case in CASES if case.expected == DENIED} == set(proof.ROLES)
    assert {case.role for case in CASES if case.expected == ALLOWED} >= {"server", "job ingest", "sweeper", "kill"}


def test_linters_find_nothing_that_is_not_explained() -> None:
    assert linters.findings() == []
    assert linters.unused() == []
