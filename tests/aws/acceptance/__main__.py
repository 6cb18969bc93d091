"""`scripts/acceptance`: one trial on one account that is named, under a cap of $0.05; or `--clean`.

Steps and progress go to stderr; stdout is the one JSON document to send back, without account id or keys. Exit 0: all as expected
and nothing left; 1: something was otherwise; 2: refused, nothing was done; 6: something is left, or may be.
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
from acceptance import left, spend
from acceptance.place import Place, Refusal, new_name, on_aws, on_this_machine, why
from acceptance.points import AS_EXPECTED, Trial

OTHERWISE, REFUSED, LEFT = 1, 2, 6
ABOUT = """Tries on a real AWS account what can not be proved on one machine: docs/unproven.md says which points. It makes five
servers at most, each for minutes, a bucket, roles, a launch template and one dayfly project, all tagged `dayfly-acceptance`, and
removes them whatever happens. It takes 10 to 15 minutes and about a cent as a rule; $0.05 at the very most as long as it is run to
its end, or, where it was cut off, its `--clean`: a server that neither it nor its own timer ends costs on."""
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    asked = _arguments()
    try:
        place = (
            on_this_machine(asked.local.resolve(), asked.account, asked.region)
            if asked.local
            else on_aws(asked.account, asked.region)
        )
        return _clean(place) if asked.clean else _try(place, asked.cap)
    except Refusal as error:
        _say(str(error))
        return REFUSED


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/acceptance", description=ABOUT)
    parser.add_argument("--account", required=True, metavar="ID", help="the account's 12 digits; any other is refused")
    parser.add_argument("--region", help="default: that of the environment or the profile")
    parser.add_argument("--cap", type=_dollars, default=spend.CAP, help="dollars, at most 0.05 (default)")
    parser.add_argument(
        "--clean", action="store_true", help="only remove what earlier trials left here, by tag and name"
    )
    parser.add_argument("--local", type=Path, metavar="FOLDER", help="not AWS: the local cloud that runs in FOLDER")
    asked = parser.parse_args()
    if not re.fullmatch(r"\d{12}", asked.account):
        parser.error("--account takes 12 digits")
    return asked


def _dollars(text: str) -> Decimal:
    try:
        cap = Decimal(text)
    except ArithmeticError:
        raise argparse.ArgumentTypeError(f"not dollars: {text}") from None
    if not 0 <= cap <= spend.CAP:
        raise argparse.ArgumentTypeError(f"0 to {spend.CAP}")
    return cap


def _clean(place: Place) -> int:
    rest = left.clean(place, _say)
    _put_away(place)
    _say(f"left     {', '.join(rest.told()) or 'nothing'}")
    return LEFT if rest else 0


def _try(place: Place, cap: Decimal) -> int:
    try:
        earlier = left.found(place)
    except (BotoCoreError, ClientError) as error:
        raise Refusal(f"what earlier trials left could not be looked for ({why(error)}): nothing was done") from error
    if earlier:
        raise Refusal(f"an earlier trial left {len(earlier)} things here ({earlier[0].id} ...): first --clean")
    trial = Trial(place, new_name(), spend.Ledger(cap), _say)
    _say(f"trial    {trial.name} in {place.region}; if this is cut off: the same command with --clean")
    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    began = time.monotonic()
    try:
        trouble = _run(trial)
        _interrupt_no_more()
    except KeyboardInterrupt:
        trouble = "interrupted"
    rest = left.clean(place, _say, trial.name)
    _put_away(place)
    _say(f"left     {', '.join(rest.told()) or 'nothing'}")
    _tell(place, _document(trial, trouble, rest, time.monotonic() - began))
    if rest:
        return LEFT
    return 0 if not trouble and all(each.verdict == AS_EXPECTED for each in trial.points) else OTHERWISE


def _run(trial: Trial) -> str:
    """All points; what went wrong on the way, if anything did."""
    try:
        trial.own_servers()
        trial.whole_run()
    except Exception as error:  # whatever it is, what was made is to be removed and what was seen to be told
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


def _interrupt(*_: Any) -> NoReturn:
    _interrupt_no_more()
    raise KeyboardInterrupt


def _interrupt_no_more() -> None:
    """From here on the clean-up is at work, and whoever interrupts it hears only that."""
    for number in INTERRUPTS:
        signal.signal(number, lambda *_: _say("cleaning up; nothing is left in a moment"))


def _put_away(place: Place) -> None:
    with contextlib.suppress(OSError):  # a file that stays is no reason to tell nothing
        left.put_away(place)
    if not place.local:
        shutil.rmtree(place.folder, ignore_errors=True)


def _document(trial: Trial, trouble: str, rest: left.Rest, seconds: float) -> dict[str, Any]:
    return {
        "dayfly": dayfly.__version__,
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "on": "the local cloud" if trial.place.local else "AWS",
        "region": trial.place.region,
        "python": platform.python_version(),
        "seconds": round(seconds),
        "at most": {
            "cap": f"${trial.ledger.cap}",
            "sum": f"${trial.ledger.total:.4f}",
            "steps": [f"{step}: {bound.what}: ${bound.dollars:.4f}" for step, bound in trial.ledger.let],
        },
        "points": [asdict(point) for point in trial.points],
        "trouble": trouble or None,
        "left": rest.told(),
    }


def _tell(place: Place, document: dict[str, Any]) -> None:
    """The document, without the account's id wherever AWS may have put it."""
    _say("send this back:")
    sys.stdout.write(json.dumps(document, indent=2, default=str).replace(place.account, "ACCOUNT") + "\n")
    sys.stdout.flush()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
