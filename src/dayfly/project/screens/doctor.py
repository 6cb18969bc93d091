"""Screen of `doctor`: one line for each finding, its remedies, and how many things are to be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dayfly.project import formatting
from dayfly.project.doctor.findings import Finding, Level

_SUBJECT = 13


def doctor_lines(findings: Sequence[Finding], again: str, deploy: str) -> tuple[str, ...]:
    """Return the screen. `again` and `deploy`: the commands that come next, if there is something to do and if not."""
    lines: list[str] = []
    for finding in findings:
        if finding.level is Level.LATER:
            lines.append(formatting.labelled(finding.level, finding.subject, width=5))
            continue
        text = f"{finding.subject:<{_SUBJECT}} {finding.text}"
        lines.append(formatting.labelled(finding.level, text, width=5))
        label = "do"
        for remedy in finding.remedies:
            lines.append(formatting.labelled(label, remedy, width=3, indent=_SUBJECT + 7))
            label = ""
    lines.append(_sum(findings))
    lines.append(formatting.labelled("next", again if to_do(findings) else deploy, width=5))
    return tuple(lines)


def for_target(finding: Finding, *, local: bool) -> Finding:
    """Return the finding with commands of dayfly that work on its target as printed."""
    if not local:
        return finding
    return replace(finding, remedies=tuple(map(_with_local, finding.remedies)))


def _with_local(remedy: str) -> str:
    command, gap, comment = remedy.partition("   (")
    if not command.startswith("dayfly "):
        return remedy
    return f"{command} --local{gap}{comment}"


def to_do(findings: Sequence[Finding]) -> bool:
    """Return whether something must be done. What is unknown is not well."""
    return any(finding.level in (Level.FAIL, Level.UNKNOWN) for finding in findings)


def _sum(findings: Sequence[Finding]) -> str:
    counts = {level: sum(1 for each in findings if each.level is level) for level in Level}
    parts = []
    if counts[Level.FAIL]:
        parts.append(f"{counts[Level.FAIL]} to do")
    if counts[Level.UNKNOWN]:
        parts.append(f"{counts[Level.UNKNOWN]} unknown")
    if counts[Level.WARN]:
        parts.append(formatting.number_of(counts[Level.WARN], "warning"))
    return ", ".join(parts) or "all is well"


def doctor_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as JSON."""
    words = {Level.OK: "ok", Level.FAIL: "fail", Level.WARN: "warning", Level.UNKNOWN: "unknown", Level.LATER: "later"}
    return {
        "findings": [
            {
                "level": words[each.level],
                "subject": each.subject,
                "text": each.text,
                "remedies": list(each.remedies),
            }
            for each in findings
        ]
    }
