"""The part of the model cloud that reaches people: a topic, webhooks, and the key that signs them."""

from __future__ import annotations

from dataclasses import dataclass, field

from dayfly.flows import calls

NOTIFY_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class ModelPeople:
    """What was sent. `down`: the URL of a webhook, or "topic" -> why it takes no message."""

    posted: list[calls.Post] = field(default_factory=list)
    published: list[calls.Publish] = field(default_factory=list)
    down: dict[str, str] = field(default_factory=dict)
    notify_key: str | None = NOTIFY_KEY

    def post(self, call: calls.Post) -> str:
        if call.url not in self.down:
            self.posted.append(call)
        return self.down.get(call.url, "")

    def publish(self, call: calls.Publish) -> str:
        if "topic" not in self.down:
            self.published.append(call)
        return self.down.get("topic", "")

    def make_secret(self, call: calls.MakeSecret) -> bool:
        if self.notify_key is not None:
            return False
        self.notify_key = call.value
        return True

    def remove_secret(self, _call: calls.RemoveSecret) -> None:
        self.notify_key = None

    def read_secret(self, _call: calls.ReadSecret) -> str | None:
        return self.notify_key
