"""Print the proof: case, role, expected, got; counts; then what linters say about the policies. `make permissions-proof`."""

from __future__ import annotations

import sys

from proof import linters, proof


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if proof.missing():
    sys.exit(f"permissions-proof: {proof.missing()}")
judged = proof.judge(proof.all_cases())
for each in judged:
    case = each.case
    mark = "ok" if each.right else "WRONG"
    say(f"{case.role:<16}  {case.name:<38}  {case.action:<34}  {case.expected:<7}  {each.got:<7}  {mark}")
wrong = [each for each in judged if not each.right]
denied = sum(each.case.expected == proof.DENIED for each in judged)
say(f"\n{len(judged)} cases: {len(judged) - denied} to be allowed, {denied} to be denied; {len(wrong)} wrong")
findings = linters.findings()
say(f"linters: {linters.ran()}; {len(findings)} findings that nothing explains")
for finding in findings:
    say(f"  {finding}")
sys.exit(bool(wrong or findings))
