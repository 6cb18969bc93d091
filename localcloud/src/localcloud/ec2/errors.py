"""EC2's errors: one exception with the code, message and HTTP status of the real service.

The rules that lead to an error do not live here.
"""


class Ec2Error(Exception):
    """An error answer of EC2."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def missing(parameter: str) -> Ec2Error:
    """Return the error for a required parameter that is missing."""
    return Ec2Error("MissingParameter", f"The request must contain the parameter {parameter}")


def invalid(value: object, parameter: str, why: str = "") -> Ec2Error:
    """Return the error for a value that a parameter does not allow."""
    text = f"Value ({value}) for parameter {parameter} is invalid."
    return Ec2Error("InvalidParameterValue", f"{text} {why}".rstrip())


def not_supported(what: str) -> Ec2Error:
    """Return the error for something that AWS has and the local cloud does not imitate."""
    return Ec2Error("UnsupportedOperation", f"{what} is not part of the local cloud's EC2.")


def dry_run() -> Ec2Error:
    """Return the answer to a DryRun that would have succeeded."""
    return Ec2Error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
