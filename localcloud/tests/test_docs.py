"""The pages: generated parts are up to date, links lead somewhere, decisions are listed, the seams page is complete."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = (found.lower() for found in HEADING.findall(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in headings}


def is_broken(page: Path, link: str) -> bool:
    """Return whether a relative link leads to no file of this distribution, or to no heading."""
    if "://" in link:
        return False
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(anchor) and anchor not in anchors(target)


def test_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "docs"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_inside_localcloud(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if is_broken(page, link)] == []


def test_every_decision_is_listed_and_complete() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text()
    pages = sorted(folder.glob("[0-9]*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text()
        title = text.splitlines()[0].removeprefix(f"# {page.name[:4]} ")
        assert f"({page.name}) {title}\n" in listed
        assert re.search(r"^\d{4}-\d\d-\d\d, (accepted|replaced by \d{4})$", text, re.MULTILINE), page.name
        assert [word for word in ("Context", "Decision", "Why", "Alternatives") if f"**{word}.**" not in text] == []


def test_readme_names_the_number_of_conformance_rows() -> None:
    rows = re.search(r"^(\d+) rows;", (ROOT / "docs" / "conformance.md").read_text(), re.MULTILINE)
    assert rows is not None
    for page in ("README.md", "CHANGELOG.md"):
        assert f"{rows[1]} behaviors" in (ROOT / page).read_text()
