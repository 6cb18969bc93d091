"""`python -m localcloud image`: build the guest image when it is missing, and show what it is and how guests run here.

How an image is built and found is in guests/vm.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from localcloud.guests.vm import accelerator, build, image

_STEPS = ("download", "extract", "install", "cleaning")


def register(commands: Any, show: Callable[[str], None]) -> None:
    """Add the `image` command to argparse's `commands`. The command passes each line of its output to `show`."""
    sub: argparse.ArgumentParser = commands.add_parser(
        "image", help="build the image of vm guests when it is missing, and show what it is"
    )
    sub.add_argument(
        "--rebuild",
        action="store_true",
        help="build a new image even if there is one, and test KVM again; stopped guests keep their old image",
    )
    sub.add_argument(
        "--find",
        action="store_true",
        help="print the folder of the built image, or exit 1 if there is none; build nothing",
    )
    sub.add_argument("--json", action="store_true", help="print the facts as a JSON object")

    def run(options: argparse.Namespace) -> int:
        if options.find:
            return _find(show)
        # Signals of the terminal do not reach the build's programs, which run in their own sessions. The KeyboardInterrupt
        # that SIGINT and this handler raise ends them.
        before = signal.signal(signal.SIGTERM, _stopped)
        try:
            found = facts(options.rebuild)
        except KeyboardInterrupt:
            sys.stderr.write("build stopped; its temporary files are removed\n")
            return 130
        finally:
            signal.signal(signal.SIGTERM, before)
        output = lines(found)
        if options.json:
            output = [json.dumps(found)]
        for line in output:
            show(line)
        return 0

    sub.set_defaults(run=run)


def _find(show: Callable[[str], None]) -> int:
    """Print the folder of the image and return 0; return 1 if none is built."""
    found = image.find(image.cache_directory())
    if found is None:
        return 1
    show(str(found.directory))
    return 0


def _stopped(*_: Any) -> None:
    raise KeyboardInterrupt


def facts(rebuild: bool = False) -> dict[str, Any]:
    """Find or build the image and return facts about it. Progress goes to standard error. Raises CloudError."""
    cache = image.cache_directory()
    accelerator.find_qemu()
    began = time.monotonic()
    found = None if rebuild else image.find(cache)
    built = found is None
    if found is None:
        found = build.build(cache, lambda line: _progress(line, time.monotonic() - began), again=rebuild)
    chosen = accelerator.choose(found, cache, again=rebuild)
    about = found.manifest
    return {
        "directory": str(found.directory),
        "built": built,
        "made_at": about.made_at,
        "built_s": about.built_s,
        "size": about.size,
        "suite": about.suite,
        "architecture": about.architecture,
        "python": about.python,
        "kernel": about.kernel,
        "packages": len(about.packages),
        "accelerator": chosen.name,
        "why": chosen.why,
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Return the facts as lines for a person."""
    return [
        f"image        {found['directory']}",
        f"contents     Debian {found['suite']}, {found['architecture']}, Python {found['python']}, Linux {found['kernel']}, "
        f"{found['packages']} packages",
        f"size         {found['size'] / 1e6:.0f} MB on disk",
        f"made at      {found['made_at']}, in {found['built_s']:.0f} s",
        f"guests run   {found['accelerator']}: {found['why']}",
    ]


def _progress(line: str, seconds: float) -> None:
    if line.startswith(_STEPS) or "another build" in line:
        sys.stderr.write(f"{seconds:4.0f} s  {line.removesuffix('...')}\n")
        sys.stderr.flush()
