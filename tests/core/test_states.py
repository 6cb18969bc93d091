"""The table of states: how often one walk may take each step."""

from __future__ import annotations

from dayfly.core.states import TABLE, Row, State


def test_one_walk_repeats_few_steps_that_act_on_ec2():
    """A repeated step could launch a second server, or end one that EC2 lists late."""
    default = Row(step="").at_most
    limits = {state: row.at_most for state, row in TABLE.items() if row.at_most != default}
    assert limits == {
        State.NEEDS_SERVER: 1,
        State.NEEDS_KILL_SCHEDULE: 2,
        State.MUST_END: 1,
        State.NOT_SHOWN: 1,
        State.NEEDS_NOTIFICATION: 1,
        State.NEEDS_RESULTS: 1,
    }
