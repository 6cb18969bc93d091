"""Guests: the real process trees (later: machines) behind instances. Nothing of the EC2 API lives here."""
