"""localcloud: AWS on this machine, with guests that really run. It has never heard of who uses it."""
