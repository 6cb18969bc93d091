"""What deploy and destroy do for `notify`, and the test message that the sweeper sends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dayfly.core import names
from dayfly.core.model import Project
from dayfly.errors import NotFoundError, RightsError, Unclear
from dayfly.flows import calls
from dayfly.project.deploy.destroy import destroy
from dayfly.project.deploy.notification import signing_key, try_addresses
from model.account import ModelAccount
from model.cloud import PROJECT
from model.deploying import SCOPE, deploy, end, file
from model.steps import HOOK, MAIL


def told(*addresses: str) -> Project:
    return replace(file(), notify=addresses)


def without_key(**settings: object) -> ModelAccount:
    return ModelAccount(notify_key=None, **settings)


def test_first_deploy_with_a_url_makes_a_key_and_later_ones_keep_it():
    account = without_key()
    deploy(account, told(HOOK), fresh_key="whsec_one")
    deploy(account, told(HOOK), fresh_key="whsec_two")
    assert account.run(signing_key(SCOPE)) == "whsec_one"


def test_deploy_without_a_url_makes_no_key():
    account = without_key()
    deploy(account, told(MAIL))
    with pytest.raises(NotFoundError, match="there is no key"):
        account.run(signing_key(SCOPE))


def test_deploy_names_the_addresses_that_are_not_confirmed():
    account = ModelAccount(
        subscriptions=(
            calls.Subscription(address=MAIL, confirmed=True),
            calls.Subscription(address="b@acme.example", confirmed=False),
        )
    )
    done = deploy(account, told(MAIL, "b@acme.example", "c@acme.example", HOOK))
    assert done.unconfirmed == ("b@acme.example", "c@acme.example")


def test_destroy_removes_the_key():
    account = ModelAccount()
    deploy(account, told(HOOK))
    end(account, keep=False)
    assert account.notify_key is None


def test_destroy_goes_on_without_the_right_to_remove_the_key():
    class Denied(ModelAccount):
        def remove_secret(self, _call: calls.RemoveSecret) -> None:
            raise RightsError("RemoveSecret: AccessDeniedException: no")

    account = Denied()
    deploy(account, told(HOOK))
    done = account.run(destroy(SCOPE, keep=False))
    assert done.left.is_empty
    assert done.why == "RemoveSecret: AccessDeniedException: no"


def test_test_message_is_sent_by_the_sweeper():
    account = ModelAccount()
    deploy(account)
    account.launcher_answers = [calls.Invoked(answer={"took": [MAIL], "failed": {HOOK: "it answered 404"}})]
    answers = account.run(try_addresses(SCOPE, '{"test": "ben"}'))
    assert answers == {MAIL: "", HOOK: "it answered 404"}
    assert account.invoked == ['{"test": "ben"}']


def test_sweeper_of_an_older_version_is_named_as_the_reason():
    account = ModelAccount()
    deploy(account)
    account.launcher_answers = [calls.Invoked(answer={}, error="not an event for the sweeper")]
    with pytest.raises(Unclear, match="not an event for the sweeper"):
        account.run(try_addresses(SCOPE, "{}"))


def test_test_message_needs_a_deployed_project():
    with pytest.raises(NotFoundError, match="is not deployed here"):
        ModelAccount().run(try_addresses(SCOPE, "{}"))


def test_key_is_named_after_the_project():
    assert names.notify_key(PROJECT) == "/dayfly/pi/notify-key"
