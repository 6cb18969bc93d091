"""Lambda functions that really run: one process per environment, which sees its zip, the standard library and boto3.

The API (CreateFunction, versions, permissions) is MiniStack's; running functions and the queue of asynchronous events are
localcloud's.
"""
