"""A local cloud that is gone, as by `kill -9`, the moment the first instance is on disk: `dying_cloud.py up --state DIR ...`."""

import os
import sys

from localcloud.commandline.main import main
from localcloud.ec2.records import RecordStore


def die_at_the_first_instance() -> None:
    """Let the first write that holds an instance be the last thing this process does."""
    written = RecordStore.save

    def save(book: RecordStore, name: str) -> None:
        written(book, name)
        if book.region(name).instances:
            os._exit(137)

    setattr(RecordStore, "save", save)  # noqa: B010


if __name__ == "__main__":
    die_at_the_first_instance()
    sys.exit(main(sys.argv[1:]))
