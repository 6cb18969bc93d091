"""A job that declares nothing: it looks for what the others have. Writes what it found to nothing.json."""

import json
import os
import urllib.request
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError

found = {}
for name, act in {
    "read": lambda: boto3.client("s3").get_object(Bucket="acme-raw", Key="events/day.csv"),
    "write": lambda: boto3.client("s3").put_object(Bucket="acme-clean", Key="x", Body=b""),
    "secret": lambda: os.environ["DB_URL"],
    "result": lambda: Path(os.environ["DAYFLY_LAST"], "ingest/out/events.csv").read_bytes(),
    "unsigned": lambda: urllib.request.urlopen(f"{os.environ['AWS_ENDPOINT_URL']}/acme-raw/events/day.csv", timeout=10),
    "metadata": lambda: urllib.request.urlopen("http://169.254.169.254/latest/meta-data/", timeout=10),
}.items():
    try:
        found[name] = f"done: {act()!r}"
    except (OSError, LookupError, BotoCoreError) as error:
        found[name] = f"{type(error).__name__}: {error}"
found["last"] = str(os.listdir(os.environ["DAYFLY_LAST"]))
Path("nothing.json").write_text(json.dumps(found))
