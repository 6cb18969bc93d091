"""dayfly: periodic jobs on servers that live for one run."""

__version__ = "0.1.0"
