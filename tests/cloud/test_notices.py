"""Webhooks reach a real receiver, signed; one that is slow, dead or redirects is an answer and no error. SNS and SSM by their API."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cloud.answering import Client, answered, error
from cloud.receiver import is_signed, receiving
from dayfly.cloud import notices
from dayfly.cloud.interpreter import Interpreter
from dayfly.core import notification
from dayfly.flows import calls
from dayfly.flows.sweep import sweep_project
from model.cloud import ModelCloud, acting_as, cloud_with
from model.people import NOTIFY_KEY
from model.stepper import Stepper
from model.steps import DAY, step_past, sweep, tick

BODY = b'{"type":"run.failed"}'


def post(url: str, endpoint: str | None = None, within_s: float = 5) -> str:
    aws: Any = SimpleNamespace(endpoint=endpoint)
    headers = notification.signed_headers("msg_1", datetime.now(UTC), BODY, NOTIFY_KEY)
    call = calls.Post(url=url, headers=headers, body=BODY, within_s=within_s)
    return notices.post(Interpreter(**{**_NAMES, "aws": aws}), call)


_NAMES: dict[str, Any] = {
    "project": "pi",
    "bucket": "b",
    "group": "",
    "kill_role": "",
    "dead_letters": "",
    "log": lambda _line, _fields: None,
}


class CloudThatPosts(ModelCloud):
    """A model cloud whose webhooks are really sent."""

    def post(self, call: calls.Post) -> str:
        aws: Any = SimpleNamespace(endpoint="http://127.0.0.1:1")
        return notices.post(Interpreter(**{**_NAMES, "aws": aws}), call)


def failed_run() -> CloudThatPosts:
    cloud = CloudThatPosts(now=datetime.now(UTC).replace(microsecond=0))
    cloud.objects = cloud_with().objects
    cloud.now = cloud_with().now
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), 3)
    return cloud


def test_receiver_gets_one_message_per_fact_and_its_signature_holds():
    cloud = failed_run()
    with receiving() as receiver:
        for _ in range(3):
            sweep(cloud, notify=(receiver.url,))
            cloud.pass_time(300)
    assert receiver.types == ["run.failed"]
    headers, body = receiver.arrived[0]
    assert is_signed(headers, body, NOTIFY_KEY, now=cloud.now.timestamp() - 900)
    assert not is_signed(headers, body + b" ", NOTIFY_KEY, now=cloud.now.timestamp() - 900)


def test_receiver_gets_at_most_two_with_one_id_after_a_crash():
    cloud = failed_run()
    with receiving() as receiver:
        sweeping = Stepper(cloud, sweep_project(acting_as("sweeper", (receiver.url,)), 90 * DAY))
        step_past(sweeping, lambda call: isinstance(call, calls.Post))
        for _ in range(4):
            cloud.pass_time(300)
            sweep(cloud, notify=(receiver.url,))
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1


def test_signature_is_that_of_the_specification():
    """The message that the specification's own libraries test with, its signature computed with openssl."""
    key, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.fromtimestamp(1614265330, UTC)
    headers = notification.signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', key)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_receiver_that_takes_it_is_no_reason():
    with receiving() as receiver:
        assert post(receiver.url) == ""


@pytest.mark.parametrize("status", [301, 400, 404, 410, 429, 500, 503])
def test_other_answers_are_reasons(status):
    with receiving(status=status) as receiver:
        assert post(receiver.url) == f"it answered {status}"


def test_redirect_is_not_followed():
    with receiving() as other, receiving(status=302, location=other.url) as receiver:
        assert post(receiver.url) == "it answered 302"
        assert other.arrived == []


def test_slow_receiver_is_given_up_after_some_seconds():
    with receiving(slow_s=2) as receiver:
        assert post(receiver.url, within_s=0.3) == "no answer within 0.3 s"


def drip(listening: socket.socket) -> None:
    """Answer one connection byte by byte, each before a timeout of the socket."""
    with listening.accept()[0] as connection:
        for _ in range(40):
            connection.send(b"H")
            time.sleep(0.05)


def test_answer_that_comes_byte_by_byte_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=drip, args=(listening,), daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        assert post(url, within_s=0.3) == "no answer within 0.3 s"


def test_dead_receiver_is_a_reason():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert "refused" in post(f"http://127.0.0.1:{port}/")


def test_local_cloud_sends_nothing_to_other_machines():
    assert post("https://hooks.example/x", endpoint="http://127.0.0.1:5000") == (
        "the local cloud sends nothing to other machines"
    )


def test_plain_http_to_another_machine_is_refused():
    assert post("http://hooks.example/x") == "it is not an https URL"


def test_topic_gets_subject_and_text():
    client = Client(publish={})
    assert answered(client, calls.Publish(topic="arn:t", subject="s", text="x")) == ""
    assert client.requests == [("publish", {"TopicArn": "arn:t", "Subject": "s", "Message": "x"})]


def test_key_that_exists_is_not_replaced():
    call = calls.MakeSecret(name="/n", value="v", tags={})
    assert answered(Client(put_parameter={}), call) is True
    assert answered(Client(put_parameter=error("ParameterAlreadyExists")), call) is False


def test_key_is_read_decrypted_and_none_without_one():
    client = Client(get_parameter={"Parameter": {"Value": "v"}})
    assert answered(client, calls.ReadSecret("/n")) == "v"
    assert client.requests == [("get_parameter", {"Name": "/n", "WithDecryption": True})]
    assert answered(Client(get_parameter=error("ParameterNotFound")), calls.ReadSecret("/n")) is None


def test_key_that_is_gone_is_removed():
    assert answered(Client(delete_parameter=error("ParameterNotFound")), calls.RemoveSecret("/n")) is None
