"""How the local cloud says no on its command line.

One class: a sentence of what is wrong and a remedy. Errors of the AWS protocols do not live here.
"""


class CloudError(Exception):
    """What is wrong and what to do about it, for a person."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.message = message
        self.remedy = remedy
