"""The error that the command line reports. Errors of the AWS protocols do not belong here."""


class CloudError(Exception):
    """What is wrong and what to do about it: two sentences for a person."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.message = message
        self.remedy = remedy
