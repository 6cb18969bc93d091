"""Why a run ended as it did, in sentences, so that every screen and message uses the same words. No layout here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dayfly.core import refusals
from dayfly.core.facts import Attempt, Facts
from dayfly.core.reasons import Cause, EndReason, Outcome
from dayfly.core.records import Claim, Closed, Ended, NoServer
from dayfly.project import formatting
from dayfly.project.file import durations
from dayfly.project.runs.state import state

_SENTENCES: Mapping[str, str] = {
    "interrupted": "EC2 reclaimed its spot server",
    "lost": "its server went away without reporting an end",
    "stalled": "the command hung",
    "unknown": "how it ended is unknown",
}
_REMEDIES: Mapping[str, str] = {
    "no-capacity": "name more types in `servers`, or smaller ones, or more subnets",
    "quota": "ask for a higher quota: AWS console, Service Quotas, EC2; or name smaller types in `servers`",
    "no-rights": "let the launcher's role do this: look at its permissions boundary and the organization's policies",
    "image-gone": "name another image in `image`, then dayfly deploy",
    "not-offered": "dayfly deploy finds out again which zones offer the types; or name others in `servers`",
    "free-plan": 'servers = ["t4g.small"], then dayfly deploy; or change the account to the paid plan',
    "disk-key": "let the launcher's role and EC2 use the key: kms:CreateGrant, kms:Decrypt, kms:GenerateDataKeyWithoutPlaintext",
}
"""What to do, by the reason."""
_REMEDIES_BY_CODE: Mapping[str, str] = {
    "MaxSpotInstanceCountExceeded": 'ask for a higher spot quota: AWS console, Service Quotas, EC2; or market = "on-demand"',
    "MaxFleetCountExceeded": "ask for more fleets: AWS console, Service Quotas, EC2 Fleet; a fleet goes with its servers",
    "SsmAccessDenied": "let the launcher's role read the image's parameter: ssm:GetParameters; or name an ami-... in `image`",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": (
        "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com"
    ),
    **dict.fromkeys(refusals.NOT_VISIBLE_YET, "dayfly deploy, if something of the stack was deleted by hand; or retry"),
    "PendingVerification": "wait until AWS has verified the account, usually some minutes",
    "OptInRequired": "finish the sign-up of the account in the AWS console",
    "Blocked": "ask AWS support: the account is blocked",
}
"""What to do, by EC2's error code, where that says more than the reason."""
_SENTENCES_WITH_DETAIL: Mapping[str, str] = {
    "no-capacity": "EC2 had no capacity in any of the pools asked",
    "quota": "a quota of this account is too small for the server",
    "no-rights": "EC2 refused the launch: a permission is missing",
    "image-gone": "its image does not exist",
    "not-offered": "none of its zones offers the server types",
    "free-plan": "the account's free plan does not include the server type",
    "disk-key": "EC2 ended the server before it booted, as it does when it may not use the key of its disk",
    "no-network": "the server could not download what it needs to run the job",
    "no-agent": "the server could not start dayfly's agent",
    "no-secret": "a secret of the job could not be used",
    "no-input": "a result that the job reads could not be had",
    "no-role": "the server could not get the job's own credentials",
    "no-isolation": "the server could not keep its own credentials from the job",
    "setup": "the server could not be prepared for the command",
    "out-of-memory": "the command ran out of memory",
    "disk-full": "the server's disk was full",
    "not-saved": "not everything that the command wrote could be stored",
}
_SAID_OF_SERVERS = frozenset(_REMEDIES)
"""Reasons for which `ec2_said` shows what EC2 said, so a sentence does not repeat it."""


def outcome_words(outcome: str) -> str:
    """Return an outcome as screens write it: `timed-out` becomes `timed out`."""
    return outcome.replace("-", " ")


def why_over(facts: Facts) -> str:
    """Return why the run ended as it did, as a clause that follows its name; empty for success and for a run that goes on."""
    match facts.claim, facts.attempt:
        case Claim(decision=decision, reason=reason, why=why), _ if facts.not_run:
            return explain(decision, reason, why)
        # A closed attempt is not the end of a run that waits for a retry.
        case _, Attempt(closed=Closed() as closed) as attempt if state(facts) == closed.outcome:
            return _why_closed(attempt, closed)
    return ""


def _why_closed(attempt: Attempt, closed: Closed) -> str:
    if closed.outcome == Outcome.FAILED and isinstance(attempt.election, NoServer):
        return explain_no_server(attempt.election)
    missing: tuple[str, ...] = ()
    if isinstance(attempt.ended, Ended):
        missing = attempt.ended.missing
    return explain(
        closed.outcome, closed.reason, closed.detail, time_limit_s=attempt.intent.time_limit_s, missing=missing
    )


def explain(
    outcome: str, reason: str, detail: str, *, time_limit_s: int | None = None, missing: Sequence[str] = ()
) -> str:
    """Return why a run ended like this, as a clause that follows its name; empty for success.

    `missing`: the declared outputs that matched nothing.
    """
    match outcome:
        case "succeeded":
            return ""
        case "timed-out" if time_limit_s:
            return f"the command did not end within its time_limit of {durations.text(time_limit_s)}"
        case "timed-out":
            return "the command did not end within its time_limit"
        case "cancelled" if detail.startswith("before"):
            return f"cancelled {detail}"
        case "cancelled":
            return "cancelled"
        case "missed" if reason == "late":
            return formatting.with_detail("too late", detail)
        case "missed":
            return detail or "it never started"
        case "skipped":
            return formatting.with_detail("not run", detail)
        case _:
            return _explain_failure(reason, detail, missing)


def explain_no_server(none: NoServer) -> str:
    """Return why an attempt that was not cancelled has no server. What EC2 said is in `ec2_said`."""
    if none.cause == Cause.UNANSWERED:
        return none.detail
    if none.reason == EndReason.UNKNOWN:
        return "EC2 refused the launch"
    return _explain_failure(none.reason, "", ())


def ec2_said(attempt: Attempt) -> tuple[str, ...]:
    """Return what EC2 said when it gave no server, or ended it before it booted; empty if it did neither."""
    match attempt.election, attempt.closed:
        case NoServer(errors=errors), _:
            return refusals.lines(errors)
        case _, Closed(reason=reason) as closed if reason in _SAID_OF_SERVERS:
            return (formatting.with_detail(closed.ec2_code, closed.ec2_message),)
    return ()


def remedy(attempt: Attempt) -> str:
    """Return what to do about a launch that EC2 refused; empty if there is nothing to do but to retry."""
    match attempt.election, attempt.closed:
        case NoServer(errors=errors, reason=reason), _:
            for error in reversed(errors):
                if error.code in _REMEDIES_BY_CODE and refusals.reason((error,)) == reason:
                    return _REMEDIES_BY_CODE[error.code]
            return _REMEDIES.get(reason, "")
        case _, Closed(reason=reason):
            return _REMEDIES.get(reason, "")
    return ""


def _explain_failure(reason: str, detail: str, missing: Sequence[str]) -> str:
    if reason in _SAID_OF_SERVERS:
        return _SENTENCES_WITH_DETAIL[reason]
    if reason.startswith("exit ") and detail:
        return f"the command exited with {reason.removeprefix('exit ')} ({detail})"
    if reason.startswith("exit "):
        return f"the command exited with {reason.removeprefix('exit ')}"
    if reason.startswith("killed by signal "):
        return f"the command was {reason}"
    if reason == "output-missing":
        return f"the command exited with 0, but {' and '.join(missing) or 'a declared output'} matched nothing"
    if reason in ("lost", "unknown") and detail:
        return detail
    if reason in _SENTENCES_WITH_DETAIL:
        return formatting.with_detail(_SENTENCES_WITH_DETAIL[reason], detail)
    return _SENTENCES.get(reason, reason or "it failed")


def short_note(outcome: str, reason: str, detail: str) -> str:
    """Return the reason in a few words for a column; empty if the outcome says it all."""
    if outcome in ("succeeded", "timed-out", "cancelled"):
        return ""
    if outcome in ("skipped", "missed"):
        return detail or reason
    return reason
