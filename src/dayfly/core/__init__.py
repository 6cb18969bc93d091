"""The rules of dayfly: pure functions over frozen values. No I/O, no clock, no environment, no boto3.

docs/glossary.md has the words: tick, run, slot, claim, attempt, intent, elected, receipt. To arm a server is to create its kill
schedule. To close an attempt is to decide its outcome, after its server is gone.
"""
