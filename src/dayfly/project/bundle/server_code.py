"""Read the code that runs on servers: the agent's zip, which servers download, and the modules of the user data.

`remote/` is read as files and never imported. The format of a zip is in archive.py.
"""

from __future__ import annotations

import stat
from pathlib import Path

from dayfly.project.bundle.archive import Entry, Zip, write_zip

_MODE = stat.S_IFREG | 0o644
_START = b"from dayfly.remote.agent import main\n\nmain.main()\n"


def build_agent_zip(package_root: Path, out: Path) -> Zip:
    """Write the agent, with the modules of the user data that it imports, to `out/SHA256.zip`, by their paths in the repository.

    Raises FileNotFoundError if there is no agent.
    """
    entries = [Entry("__main__.py", _MODE, _START)]
    for room in ("agent", "boot"):
        for path in _modules(package_root, room):
            entries.append(Entry(f"dayfly/{path.relative_to(package_root).as_posix()}", _MODE, path))
    return write_zip(entries, out)


def read_boot_sources(package_root: Path) -> dict[str, str]:
    """Return the text of the user data's modules, by file name. Raises FileNotFoundError if there are none."""
    return {path.name: path.read_text(encoding="utf-8") for path in _modules(package_root, "boot")}


def _modules(package_root: Path, room: str) -> list[Path]:
    found = sorted((package_root / "remote" / room).glob("*.py"))
    if not found:
        raise FileNotFoundError(f"no remote/{room}/*.py in {package_root}")
    return found
