"""Lambda functions that really run: one process per environment, seeing its zip, the standard library and boto3.

The API (CreateFunction, versions, permissions) is MiniStack's; running and the queue of asynchronous events are ours.
"""
