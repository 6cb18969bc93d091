"""The directory of libraries that every function sees: links to boto3 and what it needs, nothing else."""

import importlib.util
import shutil
from pathlib import Path

NAMES = ("boto3", "botocore", "s3transfer", "urllib3", "jmespath", "dateutil", "six")


def link(directory: Path) -> Path:
    """Create `directory` again with a link to each library that this program uses, and return it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    for name in NAMES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            continue
        origin = Path(found.origin)
        target = origin
        if origin.name == "__init__.py":
            target = origin.parent
        (directory / target.name).symlink_to(target)
    return directory
