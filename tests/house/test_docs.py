"""Pages match the code: all commands, options and keys are documented, links resolve, shown commands parse, blocks are fresh."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest

from dayfly.cli.main import dayfly_command
from dayfly.core import event, names, reasons, records, refusals
from dayfly.project.file import config, keys
from dayfly.project.runs import state

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "examples/pi/README.md",
        ROOT / "examples/article/README.md",
    ]
)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n?)+", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
ENDS_A_COMMAND = {"|", "||", "&&", ";", ">", ">>", "&", "#"}
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands(group: click.Group = dayfly_command, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


def section(page: str, heading: str) -> str:
    """Return the text under a heading up to the next one of its level."""
    text = (ROOT / page).read_text()
    rank = heading.split(" ")[0]
    found = re.search(rf"^{re.escape(heading)}$\n(.*?)(?=^#{{1,{len(rank)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no heading {heading!r}"
    return found[1]


COMMANDS = list(commands())


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_commands_and_options_are_documented(name, command):
    text = section("docs/commands.md", f"## dayfly {name}")
    options = [word for each in command.params if isinstance(each, click.Option) for word in each.opts]
    assert [word for word in options if word not in text] == []
    assert command.help, "the command has no help text"


@pytest.mark.parametrize("key", keys.ALL, ids=lambda key: f"{key.scope}.{key.name}")
def test_keys_are_documented_with_their_defaults(key):
    row = next((line for line in (ROOT / "docs/keys.md").read_text().splitlines() if f"| `{key.name}` |" in line), "")
    assert key.default in row
    assert key.text.replace("|", r"\|") in row


def test_records_and_their_fields_are_documented():
    kinds = [kind for kind in vars(records).values() if isinstance(kind, type) and is_dataclass(kind)]
    assert len(kinds) > 10
    missing = [
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in fields(kind)
        if f"| `{field.name}` |" not in section("docs/records.md", f"### {kind.__name__}")
    ]
    assert missing == []


def test_objects_in_the_bucket_are_documented():
    run = names.RunName("JOB", NOW)
    own = "ROLEID:INSTANCE"
    parts = (
        "claim",
        "intent",
        "ask-K",
        "spot-refused",
        "server",
        "sent",
        "absent",
        "cancel",
        "end",
        "closed",
        "receipt",
        "telling",
        "told",
        "publishing",
        "published",
    )
    found = [names.attempt_key(run, 7, part) for part in parts[1:]]
    found += [names.backfill_key(run), names.paused_key("JOB")]
    found += [names.claim_key(run), names.open_key(run), names.slot_key("JOB"), names.latest_key("JOB")]
    found += [
        names.go_cancel_key("ROLEID", "INSTANCE"),
        names.go_key("ROLEID", "INSTANCE"),
        names.log_key(names.out_prefix(run, 7, "ROLEID", "INSTANCE"), 1),
    ]
    found += [names.trouble_key("JOB")]
    found += [names.done_key(run, 7, "OUTCOME"), names.HEARTBEAT, names.version_key("JOB", NOW, "f" * 64)]
    text = (ROOT / "docs/records.md").read_text()
    forms = []
    for key in found:
        form = key.replace(str(run), "RUN").replace(own, "ID").replace("/7/", "/N/").replace("~7~", "~N~")
        form = form.replace(f"{NOW:%Y-%m-%d}/", "DATE/").replace("f" * 16, "DIGEST")
        since = "SINCE" if form.startswith("jobs/") else "TICK"
        form = re.sub(r"/[0-9]{10}~", "/ORDER~", form)
        forms.append(form.replace(names.utc_text(NOW), since))
    assert [form for form in forms if f"`{form}`" not in text] == []


def test_fields_of_the_event_are_documented():
    text = (ROOT / "docs/event.md").read_text()
    assert [field for field in event.FIELDS if f"| `{field}` |" not in text] == []


def test_variables_of_a_job_are_documented():
    text = (ROOT / "docs/job.md").read_text()
    assert [name for name in names.JOB_VARIABLES if f"`{name}`" not in text] == []


def test_reasons_of_refused_launches_are_documented():
    text = section("docs/job.md", "## How a run can end")
    for code in ("InvalidAMIID.NotFound", "UnauthorizedOperation", "VcpuLimitExceeded", "InsufficientInstanceCapacity"):
        assert f"`{refusals.reason((records.FleetError(code=code, message=''),))}`" in text


def test_outcomes_reasons_and_states_of_runs_are_documented():
    text = section("docs/job.md", "## How a run can end")
    words = [*reasons.Outcome, *filter(None, reasons.ClaimReason), *reasons.EndReason, *state.LIVE]
    assert [word for word in words if not re.search(rf"(`|\| |\*\*){word}(`| \||\*\*)", text)] == []


def test_generated_blocks_are_fresh():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/docs"), "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_resolve(page):
    bad = []
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        place, _, anchor = link.partition("#")
        to = (page.parent / place).resolve() if place else page
        if not to.exists() or (anchor and anchor not in anchors(to)):
            bad.append(link)
    assert bad == []


def test_pages_are_reachable_from_the_readme():
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link)
        todo += [(page.parent / link).resolve() for link in links if link]
    assert [named(page) for page in PAGES if page not in seen] == []


def shown(page: Path) -> Iterator[tuple[str, bool]]:
    """Yield the `dayfly ...` lines of a page, and whether each is a whole command line (in a block) or only part of a sentence."""
    text = page.read_text()
    blocks = [body for _language, body in FENCED.findall(text)] + INDENTED.findall(FENCED.sub("", text))
    for line in (line for block in blocks for line in block.splitlines()):
        for part in re.split(r"\s{2,}|\$\(|^\s*\$ ", line):
            if part.removeprefix(".venv/bin/").startswith("dayfly "):
                yield part.removeprefix(".venv/bin/").split(")")[0], True
    for part in SPAN.findall(FENCED.sub("", text)):
        if part.startswith("dayfly "):
            yield part, False


def words_of(line: str) -> list[str]:
    taken: list[str] = []
    for word in shlex.split(line, comments=True)[1:]:
        if word in ENDS_A_COMMAND:
            break
        taken.append(word)
    return taken


def parse(line: str, *, whole: bool) -> None:
    """Raise click.UsageError if the command line does not accept it."""
    command: click.Command = dayfly_command
    arguments = words_of(line)
    if arguments[:1] == ["COMMAND"] or "".join(arguments).endswith("..."):
        return
    path = "dayfly"
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
        path = f"{path} {name}"
        found = command.get_command(click.Context(command), name)
        if found is None:
            raise click.UsageError(f"no command {path}")
        command = found
    try:
        command.make_context(path, arguments)
    except click.exceptions.Exit:
        return  # --help, --version
    except click.MissingParameter:
        if whole:
            raise


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_shown_command_lines_parse(page):
    bad = []
    for line, whole in shown(page):
        try:
            parse(line, whole=whole)
        except (click.UsageError, ValueError) as error:
            bad.append(f"{line!r}: {error}")
    assert bad == []


def test_wrong_command_lines_are_detected():
    assert len({line for page in PAGES for line, _ in shown(page)}) > 20
    for line in ("dayfly nope", "dayfly run hello --nope", "dayfly run", "dayfly local sideways"):
        with pytest.raises(click.UsageError):
            parse(line, whole=True)


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_readme_names_make_targets_that_exist(command):
    assert re.search(rf"^    {command}\b", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert f"\n{command.split()[1]}:" in (ROOT / "Makefile").read_text()


ANY_POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}]}'


def test_shown_project_files_are_valid():
    files = [(ROOT / "src/dayfly/example.toml").read_text(), (ROOT / "examples/pi/dayfly.toml").read_text()]
    for page in PAGES:
        files += [body for language, body in FENCED.findall(page.read_text()) if language == "toml"]
    assert len(files) >= 4
    for text in files:
        tomllib.loads(text)
        assert config.read(text, zones=ZoneInfo, now=NOW, files=lambda _path: ANY_POLICY).jobs


def test_decisions_are_listed_and_complete():
    folder = ROOT / "docs/decisions"
    listed = (folder / "README.md").read_text()
    pages = sorted(folder.glob("[0-9]*.md"))
    # A number keeps its meaning: those of pages that moved to localcloud are not given again.
    assert len({path.name[:4] for path in pages}) == len(pages)
    for path in pages:
        text = path.read_text()
        assert f"({path.name}) {text.splitlines()[0][7:]}\n" in listed
        assert re.search(r"^\d{4}-\d\d-\d\d, (accepted|replaced by \d{4})$", text, re.MULTILINE), path.name
        assert [word for word in ("Context", "Decision", "Why", "Alternatives") if f"**{word}.**" not in text] == []
