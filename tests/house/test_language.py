"""Words that plain English replaces: no name, comment, message or page uses them again."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".github", "docs", "examples", "localcloud", "scripts", "src", "tests")
INSTEAD = {
    r"\bcan not\b": "cannot",
    r"\b(of|by) (ours|anyone|nobody|another's)\b|\banother's\b|\bsomebody else's\b": "say whose",
    r"\bneighbou?r\b": "local cloud",
    r"\b[Hh]ands\b": "interpreter",
    r"\bwish(es|ed)?\b|\bWish\b": "request, launch request",
    r"\b[Kk]in\b": "process tree",
    r"\bwhoever comes by\b|\bcomes by next\b": "the next actor",
    r"\bwhat stands (there|in)\b|\bstands in the way\b": "what is there",
    r"\bgoes on in time\b|\bturned (hour|clock)\b": "advanced clock",
    r"\bto be mended\b|\b[Mm]end(s|ed)?\b": "fix",
    r"\bis no (date|time|type|EC2)\b": "is not a ...",
    r"\bso long may\b|\bso far back\b": "grace period, how far back",
    r"\bdeaf to\b": "ignores",
    r"\bspeaks of\b|\bnever heard of\b": "mentions",
    r"\btold of\b": "reported",
}
RECORDED = re.compile(r"<!-- recorded from a real run .*?<!-- end of the recording -->", re.DOTALL)


def texts() -> list[Path]:
    found = list(ROOT.glob("*.md"))
    for folder in FOLDERS:
        for pattern in ("*.py", "*.md", "*.toml", "*.yml"):
            found += (ROOT / folder).rglob(pattern)
    skipped = {".venv", "build", "dist", "node_modules"}
    return sorted(path for path in found if not skipped & set(path.parts) and path != Path(__file__))


def test_replaced_words_do_not_come_back() -> None:
    found = []
    for path in texts():
        for number, line in enumerate(RECORDED.sub("", path.read_text(encoding="utf-8")).splitlines(), 1):
            found += [
                f"{path.relative_to(ROOT)}:{number}: {match[0]!r}: {instead}"
                for pattern, instead in INSTEAD.items()
                for match in re.finditer(pattern, line)
            ]
    assert found == []
