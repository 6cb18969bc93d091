"""What a deploy uploads, built on the user's machine: a job's bundle and the zips of the two functions."""
