"""What telling people needs in an account beside the stack: the key that signs webhooks, and confirmed e-mail addresses."""

from __future__ import annotations

from collections.abc import Mapping

from dayfly.core import names
from dayfly.core.notification import Receivers
from dayfly.errors import NotFoundError, Refused, RightsError, Unclear
from dayfly.flows.calls import FindSubscriptions, Flow, Invoke, MakeSecret, ReadSecret, RemoveSecret, ask
from dayfly.project.deploy.scope import Scope
from dayfly.project.stack import given


def prepare_notification(
    scope: Scope, receivers: Receivers, fresh_key: str, tags: Mapping[str, str]
) -> Flow[tuple[str, ...]]:
    """Make the key that signs webhooks, unless there is one. Return the e-mail addresses that are not confirmed."""
    if receivers.urls:
        all_tags = given.all_tags(scope.project, tags)
        yield from ask(MakeSecret(name=names.notify_key(scope.project), value=fresh_key, tags=all_tags))
    if not receivers.mails:
        return ()
    found = yield from ask(FindSubscriptions(scope.stack))
    confirmed = {each.address for each in found if each.confirmed}
    return tuple(address for address in receivers.mails if address not in confirmed)


def remove_key(scope: Scope) -> Flow[str]:
    """Delete the key that signs webhooks. Return why it is left, or an empty string."""
    try:
        yield from ask(RemoveSecret(names.notify_key(scope.project)))
    except (Refused, RightsError) as error:
        return error.message
    return ""


def signing_key(scope: Scope) -> Flow[str]:
    """Return the key that signs webhooks. Raises NotFoundError if there is none."""
    key = yield from ask(ReadSecret(names.notify_key(scope.project)))
    if key is None:
        raise NotFoundError(
            "there is no key that signs webhooks", hint="name an https URL in notify, then: dayfly deploy"
        )
    return key


def try_addresses(scope: Scope, body: str) -> Flow[Mapping[str, str]]:
    """Let the sweeper send a test message to every address. Return why each did not take it; empty for those that did.

    The sweeper sends it, because it must be the one that can.
    """
    invoked = yield from ask(Invoke(names.sweeper_function(scope.project), body))
    if invoked is None:
        raise NotFoundError(f"{scope.project} is not deployed here", hint="dayfly deploy")
    if invoked.error or not {"took", "failed"} <= invoked.answer.keys():
        why = invoked.error or "the deployed sweeper knows no test message"
        raise Unclear(f"the test message was not sent: {why}", hint="dayfly deploy, then repeat the command")
    return {**dict.fromkeys(invoked.answer["took"], ""), **invoked.answer["failed"]}
