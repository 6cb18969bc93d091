"""The command line: `python -m localcloud up | down | status | env | image`. The only package that prints."""
