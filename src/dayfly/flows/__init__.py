"""What launcher, sweeper and CLI do, as generators that yield calls where other code would do I/O (flows/calls).

A flow reads facts from EC2 and the bucket, asks core what to do, and does it. cloud/ runs flows on AWS; tests run them on a model.
"""
