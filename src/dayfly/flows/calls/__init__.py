"""The calls that a flow can make of the cloud, by subject. Use as `calls.Get`, `calls.Servers`, ...

cloud/interpreter.py answers them with boto3, tests/model/cloud.py in memory. When nobody knows whether a call took effect,
errors.Unclear is thrown into the flow.
"""

from dayfly.flows.calls.call import Call, Flow, Log, Now, ask
from dayfly.flows.calls.kill_schedules import Arm, Disarm, IsArmed
from dayfly.flows.calls.objects import Delete, DeleteMany, Get, List, Put, PutMatch, PutNew, SignGet, Stored
from dayfly.flows.calls.servers import Console, CreateFleet, EndServer, FleetServers, Servers

__all__ = [
    "Arm",
    "Call",
    "Console",
    "CreateFleet",
    "Delete",
    "DeleteMany",
    "Disarm",
    "EndServer",
    "FleetServers",
    "Flow",
    "Get",
    "IsArmed",
    "List",
    "Log",
    "Now",
    "Put",
    "PutMatch",
    "PutNew",
    "Servers",
    "SignGet",
    "Stored",
    "ask",
]
