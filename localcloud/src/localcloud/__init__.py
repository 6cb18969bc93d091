"""localcloud: AWS on this machine, with instances that really run."""
