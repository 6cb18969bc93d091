"""What every part shares: the facts of one cloud, its clock, and writing files. Nothing here imports MiniStack."""
