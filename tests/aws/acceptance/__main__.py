"""`scripts/acceptance`: one trial on the named account, under a cap of $0.05; or `--clean`.

Steps and progress go to stderr; stdout is the one JSON document to send back, without account id or keys. Exit 0: everything as
expected and nothing left; 1: something differed; 2: refused, nothing was done; 6: something is left, or may be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import re
import shutil
import signal
import sys
import time
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

import dayfly
from acceptance import leftovers, spend
from acceptance.points import AS_EXPECTED, Trial
from acceptance.policy import policy
from acceptance.target import NAME, Refusal, Target, error_text, new_name, on_aws, on_this_machine

DIFFERED, REFUSED, LEFT = 1, 2, 6
ABOUT = """Test on a real AWS account what cannot be proved on one machine; docs/unproven.md lists the points. A trial creates at
most five servers, for minutes each, a bucket, roles, a launch template and one dayfly project, all tagged `dayfly-acceptance`, and
deletes them whatever happens. It takes 10 to 15 minutes and usually costs about a cent; at most $0.05, provided it, or `--clean`
after an interruption, runs to its end: a server that neither the trial nor its own timer ends continues to cost money."""
OLD = "old"
"""What --clean without a name means: every trial that cannot be running any more."""
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    asked = _arguments()
    if asked.policy:
        sys.stdout.write(json.dumps(policy(asked.account, asked.region or "*"), indent=2) + "\n")
        return 0
    try:
        target = _target(asked)
        if asked.clean:
            return _clean(target, asked.clean)
        return _try(target, asked.cap)
    except Refusal as error:
        _say(str(error))
        return REFUSED


def _target(asked: argparse.Namespace) -> Target:
    if asked.local:
        return on_this_machine(asked.local.resolve(), asked.account, asked.region)
    return on_aws(asked.account, asked.region)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/acceptance", description=ABOUT)
    parser.add_argument(
        "--account", required=True, metavar="ID", help="the account's 12 digits; any other account is refused"
    )
    parser.add_argument("--region", help="default: from the environment or the profile")
    parser.add_argument("--cap", type=_dollars, default=spend.CAP, help="dollars, at most 0.05 (default)")
    parser.add_argument(
        "--clean",
        nargs="?",
        const=OLD,
        metavar="TRIAL",
        help="only delete what this trial, or every trial that began an hour ago or longer, left in this region",
    )
    parser.add_argument(
        "--policy", action="store_true", help="only print the IAM policy that the trial and its clean-up need"
    )
    parser.add_argument("--local", type=Path, metavar="FOLDER", help="use the local cloud that runs in FOLDER, not AWS")
    asked = parser.parse_args()
    if not re.fullmatch(r"\d{12}", asked.account):
        parser.error("--account takes 12 digits")
    return asked


def _dollars(text: str) -> Decimal:
    try:
        cap = Decimal(text)
    except ArithmeticError:
        raise argparse.ArgumentTypeError(f"not an amount in dollars: {text}") from None
    if not 0 <= cap <= spend.CAP:
        raise argparse.ArgumentTypeError(f"must be 0 to {spend.CAP}")
    return cap


def _clean(target: Target, trial: str) -> int:
    if trial == OLD:
        rest = leftovers.clean(target, _say)
        for name in leftovers.running(target):
            _say(f"left     {name}: it began less than an hour ago and may be running; --clean {name} deletes it")
    elif NAME.fullmatch(trial):
        rest = leftovers.clean(target, _say, trial)
    else:
        raise Refusal(f"{trial} is not the name of a trial, such as accept-6924e2f0ab12; nothing was done")
    _remove_files(target)
    _say(f"left     {', '.join(rest.lines()) or 'nothing'}")
    return LEFT if rest else 0


def _try(target: Target, cap: Decimal) -> int:
    try:
        earlier = leftovers.found(target)
    except (BotoCoreError, ClientError) as error:
        raise Refusal(f"cannot check what earlier trials left ({error_text(error)}); nothing was done") from error
    if earlier:
        raise Refusal(
            f"an earlier trial left {len(earlier)} things in this region ({earlier[0].id}, ...); run --clean first"
        )
    trial = Trial(target, new_name(), spend.Ledger(cap), _say)
    _say(
        f"trial    {trial.name} in {target.region}; if it is interrupted, run the same command with --clean {trial.name}"
    )
    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    began = time.monotonic()
    roles = _linked_roles(target)
    try:
        trouble = _run(trial)
        _interrupt_no_more()
    except KeyboardInterrupt:
        trouble = "interrupted"
    rest = leftovers.clean(target, _say, trial.name)
    _remove_files(target)
    _say(f"left     {', '.join(rest.lines()) or 'nothing'}")
    stays = sorted(_linked_roles(target) - roles)
    if stays:
        _say(f"stays    {', '.join(stays)}: service-linked roles, which AWS made at the first use; they cost nothing")
    _print(target, _document(trial, trouble, rest, stays, time.monotonic() - began))
    if rest:
        return LEFT
    if trouble or any(each.verdict != AS_EXPECTED for each in trial.points):
        return DIFFERED
    return 0


def _linked_roles(target: Target) -> set[str]:
    """Return the service-linked roles; none, and a line that says so, if they cannot be listed."""
    try:
        return leftovers.linked_roles(target)
    except (BotoCoreError, ClientError) as error:
        _say(f"service-linked roles could not be listed: {error_text(error)}")
        return set()


def _run(trial: Trial) -> str:
    """Ask all points; return the error that stopped it, or an empty string."""
    try:
        trial.own_servers()
        trial.whole_run()
    except Exception as error:  # whatever it is, delete what was created and report what was seen
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


def _interrupt(*_: Any) -> NoReturn:
    _interrupt_no_more()
    raise KeyboardInterrupt


def _interrupt_no_more() -> None:
    """Make an interrupt print a line and do nothing else: the clean-up must run to its end."""
    for number in INTERRUPTS:
        signal.signal(number, lambda *_: _say("cleaning up; please wait"))


def _remove_files(target: Target) -> None:
    with contextlib.suppress(OSError):  # a file that stays must not suppress the report
        leftovers.remove_file(target)
    if not target.local:
        shutil.rmtree(target.folder, ignore_errors=True)


def _document(
    trial: Trial, trouble: str, rest: leftovers.Remaining, stays: list[str], seconds: float
) -> dict[str, Any]:
    return {
        "dayfly": dayfly.__version__,
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "on": _where(trial.target),
        "region": trial.target.region,
        "python": platform.python_version(),
        "seconds": round(seconds),
        "at most": {
            "cap": f"${trial.ledger.cap}",
            "sum": f"${trial.ledger.total:.4f}",
            "steps": [f"{step}: {bound.what}: ${bound.dollars:.4f}" for step, bound in trial.ledger.allowed],
        },
        "points": [asdict(point) for point in trial.points],
        "trouble": trouble or None,
        "left": rest.lines(),
        "stays": [f"service-linked role {name}" for name in stays],
    }


def _where(target: Target) -> str:
    if target.local:
        return "the local cloud"
    return "AWS"


def _print(target: Target, document: dict[str, Any]) -> None:
    """Print the document with the account's id replaced wherever AWS may have put it."""
    _say("please send this back:")
    sys.stdout.write(json.dumps(document, indent=2, default=str).replace(target.account, "ACCOUNT") + "\n")
    sys.stdout.flush()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
