"""How EC2 says no: one exception with the code, the message and the HTTP status of the real service.

The rules that lead to a refusal do not live here.
"""


class Ec2Error(Exception):
    """An EC2 error answer."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def missing(parameter: str) -> Ec2Error:
    """A required parameter is not there."""
    return Ec2Error("MissingParameter", f"The request must contain the parameter {parameter}")


def invalid(value: object, parameter: str, why: str = "") -> Ec2Error:
    """A parameter's value is not one of those allowed."""
    text = f"Value ({value}) for parameter {parameter} is invalid."
    return Ec2Error("InvalidParameterValue", f"{text} {why}".rstrip())


def not_supported(what: str) -> Ec2Error:
    """AWS has this; the local cloud does not play it and says so rather than to pretend."""
    return Ec2Error("UnsupportedOperation", f"{what} is not part of the local cloud's EC2.")


def dry_run() -> Ec2Error:
    """The answer to a DryRun that would have been allowed."""
    return Ec2Error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
