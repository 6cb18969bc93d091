"""An EC2 whose instances are guests that really run; it replaces MiniStack's EC2.

Everything of the EC2 API lives in this folder; the guests themselves live in localcloud.guests.
"""

from localcloud.ec2.service import attach

__all__ = ["attach"]
