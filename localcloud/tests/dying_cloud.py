"""Runs a local cloud that dies, as by `kill -9`, as soon as its first instance is on disk. Usage: `dying_cloud.py up --state DIR`."""

import os
import sys

from localcloud.commandline.main import main
from localcloud.ec2.records import RecordStore


def die_at_the_first_instance() -> None:
    """End this process right after the first write of a state with an instance."""
    written = RecordStore.save

    def save(store: RecordStore, name: str) -> None:
        written(store, name)
        if store.region(name).instances:
            os._exit(137)

    setattr(RecordStore, "save", save)  # noqa: B010


if __name__ == "__main__":
    die_at_the_first_instance()
    sys.exit(main(sys.argv[1:]))
