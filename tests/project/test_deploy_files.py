"""The files that a deploy stores: young while it needs them, and stored again if a sweep removed them; a template too large to send."""

from __future__ import annotations

from dayfly.core import names
from dayfly.flows import calls
from model.account import ModelAccount
from model.deploying import deploy, deploy_flow, file, plan_of
from model.stepper import Stepper


def test_deploy_makes_the_old_files_young_that_it_uses_again():
    account = ModelAccount()
    deploy(account)
    stored = dict(account.written)
    account.pass_time(10 * 86_400)
    assert deploy(account).uploaded == 0
    assert all(account.written[key] > stored[key] for key in stored)


def test_deploy_stores_again_what_a_sweep_removed_meanwhile():
    account = ModelAccount()
    stepper = Stepper(account, deploy_flow(file()))
    while not isinstance(stepper.call, calls.CreateSchedule):
        if isinstance(stepper.call, calls.PutNew):
            account.objects.pop("bundles/pi-code1.zip", None)
        stepper.step()
    assert "bundles/pi-code1.zip" in account.objects


def test_large_template_is_read_from_the_bucket():
    account = ModelAccount()
    many = file("[tags]\n" + "".join(f'CostCenter{number} = "{"x" * 40}"\n' for number in range(40)))
    deploy(account, many)
    assert plan_of(account, many).empty
    assert [key for key in account.objects if key.startswith(f"{names.FUNCTIONS}template-")]
