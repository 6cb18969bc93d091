"""The table of figures by room, for this checkout or any revision. Started by `scripts/figures`.

    scripts/figures                 this checkout
    scripts/figures --at REV        a revision of this repository
    scripts/figures --path FOLDER   another checkout

A room is a folder directly under a package (`dayfly/core`), or the package's own top-level files.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from house import measure
from house.measure import Source

ROOT = Path(__file__).resolve().parents[2]
LONG_FUNCTION = 50
COLUMNS = (
    "room",
    "files",
    "lines",
    "mean",
    "largest",
    "functions > 50",
    "modules in cycles",
    "conditionals/1000",
    "asserts",
    "None guards",
    "MiniStack's private",
    "docstrings",
)


def main() -> int:
    """Print the table and return 0."""
    parser = argparse.ArgumentParser(prog="scripts/figures", description="Figures of the source code, by room.")
    parser.add_argument("--at", metavar="REV", help="a revision of this repository (default: the files as they are)")
    parser.add_argument("--path", type=Path, default=ROOT, help="another checkout")
    given = parser.parse_args()
    sys.stdout.write(table_at(given.path, given.at))
    return 0


def table_at(checkout: Path, revision: str | None) -> str:
    """The table of a checkout as it is, or of one of its revisions."""
    if revision is None:
        return table(checkout)
    with tempfile.TemporaryDirectory() as folder:
        unpack(checkout, revision, Path(folder))
        return table(Path(folder))


def unpack(repository: Path, revision: str, into: Path) -> None:
    """Write the files of a revision into an empty folder."""
    done = subprocess.run(["git", "-C", str(repository), "archive", revision], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")


def table(checkout: Path) -> str:
    """A Markdown table: each room, each package in total, and the lines of tests and pages."""
    private = ministack_private_names()
    rows = []
    for package in packages(checkout):
        sources = measure.read_package(package)
        for room, files in sorted(rooms(package, sources).items()):
            rows.append(row(f"{package.name}/{room}".rstrip("/"), files, private))
        rows.append(row(f"**{package.name}, all**", sources, private))
    text = "".join(f"| {' | '.join(cells)} |\n" for cells in (COLUMNS, ("---",) * len(COLUMNS), *rows))
    return text + "\n" + "".join(f"{name}: {count} lines\n" for name, count in other_lines(checkout))


def packages(checkout: Path) -> list[Path]:
    """Folders of the packages of both distributions, wherever this revision keeps them."""
    found = [*checkout.glob("src/*/__init__.py"), *checkout.glob("localcloud/src/*/__init__.py")]
    return sorted((path.parent for path in found), key=lambda path: path.name)


def rooms(package: Path, sources: list[Source]) -> dict[str, list[Source]]:
    """Files by the folder directly under the package; "" is the package's own files."""
    found: dict[str, list[Source]] = {}
    for source in sources:
        parts = source.path.relative_to(package).parts
        room = parts[0] if len(parts) > 1 else ""
        found.setdefault(room, []).append(source)
    return found


def row(name: str, sources: list[Source], private: set[str]) -> tuple[str, ...]:
    """One line of the table."""
    lines = [source.lines for source in sources]
    lengths = [measure.length(node) for source in sources for node in measure.functions(source.tree)]
    circles = measure.cycles(measure.imports(sources))
    definitions = [node for source in sources for node in measure.public_definitions(source)]
    uses: Counter[str] = Counter()
    for source in sources:
        uses += measure.private_uses(source.tree, private)
    return (
        name,
        str(len(lines)),
        str(sum(lines)),
        str(round(sum(lines) / len(lines))),
        str(max(lines)),
        str(sum(length > LONG_FUNCTION for length in lengths)),
        str(sum(len(group) for group in circles)),
        f"{measure.density(sources):.1f}",
        str(sum(measure.asserts(source.tree) for source in sources)),
        str(sum(measure.none_guards(source.tree) for source in sources)),
        f"{uses.total()} of {len(uses)}",
        f"{sum(map(measure.has_docstring, definitions)) / len(definitions):.0%}",
    )


def ministack_private_names() -> set[str]:
    """Private names of the installed MiniStack; empty where it is not installed."""
    spec = find_spec("ministack")
    if spec is None or not spec.submodule_search_locations:
        return set()
    return measure.private_names_defined(Path(spec.submodule_search_locations[0]))


def other_lines(checkout: Path) -> list[tuple[str, int]]:
    """Lines of tests, pages and examples."""
    kinds = {
        "tests": ("tests/**/*.py", "examples/*/tests/**/*.py"),
        "tests of localcloud": ("localcloud/tests/**/*.py",),
        "pages": ("*.md", "docs/**/*.md", "examples/*/*.md", "localcloud/*.md", "localcloud/docs/**/*.md"),
        "examples": ("examples/*/src/**/*.py", "examples/*/launcher/*.py"),
    }
    return [
        (name, sum(path.read_text("utf-8").count("\n") for pattern in patterns for path in checkout.glob(pattern)))
        for name, patterns in kinds.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
