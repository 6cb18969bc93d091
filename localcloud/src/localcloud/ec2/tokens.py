"""Client tokens: which answer a repeated request gets ("EC2 Developer Guide", Ensuring idempotency in Amazon EC2 API requests).

The records of the tokens live in records.py; what an answer contains is defined by the action.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from localcloud.ec2.context import Request
from localcloud.ec2.errors import Ec2Error

_MAX_LENGTH = 64
_NOT_COMPARED = ("ClientToken", "DryRun")


@dataclass(frozen=True)
class ClientToken:
    """The token of a request: `key` in the records, `digest` of the request's parameters. Both are "" without a token."""

    key: str
    digest: str

    def is_known(self, request: Request) -> bool:
        """Whether a request with this token came before."""
        return self.key in request.records.tokens

    def answer(self, request: Request) -> dict[str, Any] | None:
        """Return the answer that this token got before, or None if it launched nothing.

        Raises Ec2Error: IdempotentParameterMismatch if the parameters differ, IdempotentCallInProgress while that call is not
        answered.
        """
        if (request.region, self.key) in request.context.in_flight:
            raise Ec2Error("IdempotentCallInProgress", "A request with the same client token is in progress.")
        known = request.records.tokens.get(self.key)
        if known is None:
            return None
        if known["digest"] != self.digest:
            text = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
            raise Ec2Error("IdempotentParameterMismatch", text)
        answer: dict[str, Any] | None = known["answer"]
        return answer

    def remember(self, request: Request, answer: dict[str, Any] | None) -> None:
        """Put the token's answer into the records; None while nothing is launched. The caller saves the records."""
        if self.key:
            at = request.context.clock.now().timestamp()
            request.records.tokens[self.key] = {"digest": self.digest, "answer": answer, "at": at}
            request.tokens.add((request.region, self.key))


def client_token(action: str, params: dict[str, Any], zone: str = "") -> ClientToken:
    """Return the token of a request. Raises Ec2Error for a token that AWS does not accept."""
    token = params.get("ClientToken")
    if not token:
        return ClientToken("", "")
    if len(token) > _MAX_LENGTH or not token.isascii():
        raise Ec2Error("InvalidParameterValue", "The client token must be at most 64 ASCII characters.")
    compared = {key: value for key, value in params.items() if key not in _NOT_COMPARED}
    digest = hashlib.sha256(json.dumps(compared, sort_keys=True, default=repr).encode()).hexdigest()
    return ClientToken(f"{action} {zone} {token}", digest)


def answer_in_any_zone(request: Request) -> dict[str, Any] | None:
    """Return the answer that this exact request got before, in whichever zone, or None."""
    digest = client_token(request.action, request.params).digest
    for key, known in request.records.tokens.items():
        action, _, token = key.split(" ", 2)
        if (action, token, known["digest"]) == (request.action, request.params.get("ClientToken"), digest):
            answer: dict[str, Any] | None = known["answer"]
            return answer
    return None
