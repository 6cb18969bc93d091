"""A job with rights: it reads one bucket, writes another, uses two secrets. On the server it is a plain program of a user."""

import os
import subprocess
import sys
from pathlib import Path

import boto3

say = sys.stdout.write
s3 = boto3.client("s3")
events = s3.get_object(Bucket="acme-raw", Key="events/day.csv")["Body"].read()
say(f"connecting to {os.environ['DB_URL']} with {os.environ['PASSWORD']}\n")
say(subprocess.run(["ps", "-efww"], capture_output=True, text=True).stdout)
s3.put_object(Bucket="acme-clean", Key="day.csv", Body=events)
Path("out").mkdir()
Path("out/events.csv").write_bytes(events)
for folder in ("HOME", "DAYFLY_SCRATCH", "DAYFLY_LAST"):
    Path(os.environ[folder], "mine").touch()
    say(f"{folder} {os.environ[folder]} is mine\n")
say(f"setup ran as {Path('setup.txt').read_text().strip()} and the command as {os.environ['USER']}\n")
