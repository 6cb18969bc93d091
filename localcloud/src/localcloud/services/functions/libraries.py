"""The one directory of libraries that every function sees: links to boto3 and what it needs, nothing else."""

import importlib.util
import shutil
from pathlib import Path

NAMES = ("boto3", "botocore", "s3transfer", "urllib3", "jmespath", "dateutil", "six")


def link(directory: Path) -> Path:
    """Make `directory` anew with a link to each library as this program has it, and return it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    for name in NAMES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            continue
        origin = Path(found.origin)
        target = origin.parent if origin.name == "__init__.py" else origin
        (directory / target.name).symlink_to(target)
    return directory
