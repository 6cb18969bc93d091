"""Fuzzes dayfly.toml: `dayfly check` reads any file, valid or with odd keys, values, nesting and bytes."""

from __future__ import annotations

import random
from typing import Any

from dayfly.project.file import keys
from fuzz import world
from model.program import Account, Program

GOOD = """\
project = "pi"
regions = ["eu-west-1"]

[jobs.pi]
command = "pie 600 out/pi.txt"
servers = ["c8g.large"]
schedule = "41 22 * * *"
"""
_NESTED = 5_000
WORDS = (
    "",
    " ",
    "x",
    "pi",
    "é",
    "日本",
    "٢",
    "\t",
    "a\nb",
    "\x1b[31m",
    "\x7f",
    "\ud800",
    "\U0010ffff",
    "../x",
    "/x",
    "a" * 300,
)
LINES = (
    *(
        'market = "spot"',
        'time_limit = "1h30m"',
        'env = { MODE = "small", B = "a\\nb" }',
        "outputs = []",
        'disk = "50GB"',
        "# é",
    ),
    *(
        'overlap = "allow"',
        'image = "ami-0a1b2c3d4e5f67890"',
        'python = "none"',
        'start_within = "1d"',
        'command = ["a", ""]',
    ),
    *('timezone = "Pacific/Apia"', 'setup = """\nx\n"""', 'schedule = ["at(2199-12-31T23:59:59)", "rate(1 minute)"]'),
    *('schedule = "cron(0 0 L * ? 2199)"', 'schedule = "* * * * *"', 'timezone = "Africa/El_Aaiun"', 'bundle = ["*"]'),
)
"""Good lines of a job."""
NUMBERS = (
    "0",
    "-1",
    "1e400",
    "nan",
    "inf",
    "0x" + "f" * 6_000,
    "9" * 5_000,
    "9223372036854775808",
    "1_0",
    "0o7",
    "0b1",
)
DATES = ("2026-11-24", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-23:59", "23:59:60", "12:00:00", "2026-13-41")


def text(chance: random.Random) -> str:
    """Return the text of a dayfly.toml: mostly almost valid."""
    made = chance.choice((_good, _changed, _changed, _appended, _structured, _spoiled))
    return made(chance)


def content(chance: random.Random) -> bytes:
    """Return the bytes of a dayfly.toml: mostly those of a text, sometimes not UTF-8."""
    body = bytearray(text(chance).encode("utf-8", "surrogatepass"))
    if chance.random() < 0.15:
        body[chance.randrange(len(body) + 1) : 0] = bytes(chance.randrange(256) for _ in range(3))
    return bytes(body)


def value(chance: random.Random, depth: int = 0) -> str:
    """Return a TOML value of any kind."""
    kind = chance.randrange(7 if depth < 3 else 4)
    if kind == 4:
        return f"[{', '.join(value(chance, depth + 1) for _ in range(chance.randrange(4)))}]"
    if kind == 5:
        pairs = (f"{key(chance)} = {value(chance, depth + 1)}" for _ in range(chance.randrange(3)))
        return f"{{{', '.join(pairs)}}}"
    if kind == 6:
        return chance.choice(("[" * _NESTED + "]" * _NESTED, "{a=" * _NESTED + "1" + "}" * _NESTED))
    return chance.choice(
        (string(chance), chance.choice(NUMBERS), chance.choice(DATES), chance.choice(("true", "false")))
    )


def string(chance: random.Random) -> str:
    word = chance.choice(WORDS)
    escaped = "".join(_escaped(character) for character in word)
    return chance.choice((f'"{escaped}"', f"'{word}'", f'"""{escaped}"""', f'"{word}"'))


def _escaped(character: str) -> str:
    if character < " " or character in '"\\\x7f':
        return f"\\u{ord(character):04x}"
    return character


def key(chance: random.Random) -> str:
    known = chance.choice(keys.ALL).name
    return chance.choice(
        (known, known, known, string(chance), "a.b", ".".join("a" * 40), "jobs", "network", "defaults")
    )


def _good(chance: random.Random) -> str:
    """Return the good file with another job of some good lines, most of which go together."""
    lines = chance.sample(LINES, chance.randrange(1, 6))
    return GOOD + '[jobs.b]\ncommand = "x"\nservers = ["c8g.large"]\n' + "\n".join(lines) + "\n"


def _changed(chance: random.Random) -> str:
    """Return the good file with one more key of a job, or of the project."""
    line = f"{key(chance)} = {value(chance)}\n"
    return chance.choice((line + GOOD, GOOD + line, GOOD + "[defaults]\n" + line))


def _appended(chance: random.Random) -> str:
    header = chance.choice(("[{}]", "[[{}]]", "[jobs.{}]", "[network.{}]", "[jobs.pi.{}]"))
    return GOOD + header.format(key(chance)) + f"\n{key(chance)} = {value(chance)}\n"


def _structured(chance: random.Random) -> str:
    """Return a file with very many entries or a very long line."""
    return chance.choice(_large())(chance)


def _large() -> tuple[Any, ...]:
    return (
        lambda _: GOOD + "".join(f"[jobs.j{number}]\n" for number in range(1_500)),
        lambda _: GOOD + f"env = {{{', '.join(f'A{number} = 1' for number in range(1_200))}}}\n",
        lambda _: GOOD + f"outputs = [{', '.join(f'{number}' for number in range(1_200))}]\n",
        lambda chance: GOOD + f'setup = "{chance.choice("xé") * 70_000}"\n',
        lambda _: GOOD + "#" * 1_100_000,
        lambda _: "k" * 100_000 + " = 1\n" + GOOD,
    )


def _spoiled(chance: random.Random) -> str:
    """Return the good file with some characters replaced."""
    characters = list(GOOD)
    for _ in range(chance.randrange(1, 4)):
        characters[chance.randrange(len(characters))] = chance.choice('"[]={}.\0\r\n\ud800é')
    return "".join(characters)


def check(chance: random.Random) -> str:
    """Let `dayfly check` read a file. Returns its exit code."""
    with world.a_folder() as (_, folder):
        (folder / "dayfly.toml").write_bytes(content(chance))
        said = world.fine(Program(Account())("check"))
        world.require(said.code in (0, 2), f"exit {said.code}")
        world.require(said.code == 0 or "error" in said.err, f"exit {said.code} without an error: {said.err}")
        return f"exit {said.code}"
