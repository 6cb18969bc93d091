"""The rules of dayfly: pure functions over frozen values. No I/O, no clock, no environment, no boto3.

Words, in the order of a run's life:

tick       a time at which a job is due by its schedule
run        a job at a tick; it is open until nothing is left to do
slot       the lock of a job whose runs must not overlap
claim      the decision about a tick, made once: run, skipped or missed
attempt    one try at a run; a retry adds another
intent     the stored launch requests of an attempt
election   the choice of the one server that may run an attempt's job
arm        to create a server's kill schedule, which terminates it after its deadline
go.json    what the elected server gets: the job to run
end        how the job ended, as the agent on the server reports it
close      to decide an attempt's outcome, after its server is gone
receipt    all that is known of a closed attempt, in one document
"""
