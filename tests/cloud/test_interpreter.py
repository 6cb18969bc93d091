"""Every call has one answer on AWS and one on the model account, and errors reach the flow that made the call."""

from __future__ import annotations

import inspect

import pytest

from cloud.answering import Client, answered
from dayfly.cloud.interpreter import ANSWERS
from dayfly.flows import calls
from model.account import ACCOUNT_ANSWERS, ModelAccount

ALL = {one for one in vars(calls).values() if inspect.isclass(one) and issubclass(one, calls.Call)} - {calls.Call}


def test_interpreter_answers_every_call():
    assert set(ANSWERS) == ALL


def test_model_account_answers_every_call():
    assert set(ACCOUNT_ANSWERS) == ALL
    assert all(hasattr(ModelAccount, method) for method in ACCOUNT_ANSWERS.values())


def test_call_without_an_answer_is_a_bug():
    class Unknown(calls.Call[None]):
        """A call that is in no table."""

    with pytest.raises(KeyError):
        answered(Client(), Unknown())
