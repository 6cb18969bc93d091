"""The only package that imports MiniStack. Private names of MiniStack appear here and nowhere else."""
