"""An EC2 whose instances are real guests, put in the place of MiniStack's.

Everything that AWS calls EC2 and that has a body here lives in this folder; the guests themselves are localcloud.guests.
"""

from localcloud.ec2.service import attach

__all__ = ["attach"]
