"""The JSON schema of dayfly.toml: accepts what `dayfly check` accepts, and refuses wrong names and types."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from dayfly.project.file import keys, schema
from project.texts import EXAMPLE, LEAST, with_job_key

ROOT = Path(__file__).resolve().parents[2]


def errors(text: str) -> list[str]:
    """Return the paths of the values that the schema refuses."""
    validator = jsonschema.Draft7Validator(schema.schema())
    return [".".join(map(str, error.absolute_path)) for error in validator.iter_errors(tomllib.loads(text))]


def test_schema_is_itself_valid() -> None:
    jsonschema.Draft7Validator.check_schema(schema.schema())


def test_package_holds_the_current_schema() -> None:
    assert (files("dayfly") / "dayfly.schema.json").read_text(encoding="utf-8") == schema.text()


def test_schema_accepts_the_example_files() -> None:
    assert errors(EXAMPLE) == []
    assert errors((ROOT / "examples/pi/dayfly.toml").read_text(encoding="utf-8")) == []
    assert errors(LEAST) == []


@pytest.mark.parametrize("key", keys.ALL, ids=lambda key: key.name)
def test_schema_describes_every_key(key: keys.Key) -> None:
    whole = schema.schema()
    objects = {"project": whole, **whole["definitions"]}
    assert objects[key.scope]["properties"][key.name]["description"].startswith(key.text)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('time_limt = "1h"', "jobs.pi"),
        ('market = "cheap"', "jobs.pi.market"),
        ('time_limit = "1 hour"', "jobs.pi.time_limit"),
        ('time_limit = ""', "jobs.pi.time_limit"),
        ('disk = "50"', "jobs.pi.disk"),
        ('disk = { size = "50GB", speed = 3 }', "jobs.pi.disk"),
        ('disk = { size = "50GB", iops = 100 }', "jobs.pi.disk"),
        ("disk = { iops = 3000 }", "jobs.pi.disk"),
        ('outputs = "x"', "jobs.pi.outputs"),
        ("env = { N = 3 }", "jobs.pi.env.N"),
        ('[network.eu-west-1]\npublic_ip = "no"', "network.eu-west-1.public_ip"),
        ('[defaults]\ndisk = "50"', "defaults.disk"),
        ('[jobs."a b"]', "jobs"),
    ],
)
def test_schema_refuses_wrong_names_and_types(line: str, path: str) -> None:
    assert errors(with_job_key(line)) == [path]


def test_schema_requires_project_regions_and_jobs() -> None:
    assert len(errors("")) == 3
