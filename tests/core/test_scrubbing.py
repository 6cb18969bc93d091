"""What EC2 says is stored without encoded messages and names of people."""

from __future__ import annotations

import pytest

from dayfly.core.scrubbing import LONGEST, scrub

DENIED = (
    "You are not authorized to perform this operation. User: {who} is not authorized to perform: ec2:RunInstances on resource:"
    " arn:aws:ec2:eu-west-1:111122223333:instance/* because no identity-based policy allows the action."
    " Encoded authorization failure message: " + "Qx3-_b" * 200
)


@pytest.mark.parametrize(
    ("who", "shown"),
    [
        ("arn:aws:iam::111122223333:user/team/anna.k", "User: a user is not"),
        ("arn:aws-cn:sts::111122223333:federated-user/anna", "User: a user is not"),
        (
            "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_1f/anna@lake.example",
            "User: arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_1f is not",
        ),
    ],
)
def test_a_person_is_not_named_and_nothing_encoded_is_kept(who, shown):
    text = scrub(DENIED.format(who=who))
    assert shown in text
    assert "anna" not in text
    assert "ncoded" not in text
    assert "Qx3" not in text
    assert "ec2:RunInstances" in text
    assert "no identity-based policy allows the action." in text


def test_an_address_is_not_named():
    assert scrub("owner anna+lake@mail.example.org said no.") == "owner a person said no."


def test_a_message_is_one_printable_line_of_bounded_length():
    assert scrub("one\n two\x1b[31m\tthree") == "one two [31m three"
    assert len(scrub("x" * 5000)) == LONGEST


def test_what_names_nobody_is_kept():
    said = "We currently do not have sufficient c8g.large capacity in the Availability Zone you requested (eu-west-1a)."
    assert scrub(said) == said
