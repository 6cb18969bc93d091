"""Problems of dayfly.toml: all of a file at once, each with its line and remedy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.project.file import keys
from dayfly.project.file.problems import Problems
from project.texts import LEAST, only, problems, read, with_job_key


def test_all_problems_are_reported_in_order_of_lines() -> None:
    found = problems(
        'project = "P"\nregions = []\nkep = "1d"\n[jobs.a]\ncommand = ""\nservers = ["c8g.large", "m7i.large"]\n'
        'outputs = ["/x", "../y"]\n[jobs."b c"]\nservers = ["c8g.large"]\ncommand = "x"\n'
    )
    assert [(problem.path, problem.line) for problem in found] == [
        ("project", 1),
        ("regions", 2),
        ("kep", 3),
        ("jobs.a.command", 5),
        ("jobs.a.servers", 6),
        ("jobs.a.outputs", 7),
        ("jobs.a.outputs", 7),
        ('jobs."b c"', 8),
    ]


def test_messages_of_wrong_schedule_and_unknown_key() -> None:
    text = (
        'project = "lake"\nregions = ["eu-west-1"]\n\n[jobs.ingest]\ncommand = "x"\nservers = ["c8g.large"]\n'
        'timezone = "Europe/Berlin"\nschedule = "30 2 * * 1-5 *"\ntime_limt = "1h"\n'
    )
    with pytest.raises(Problems) as caught:
        read(text)
    error = caught.value
    assert error.exit_code == 2
    assert error.message == "2 errors in dayfly.toml; nothing was changed"
    assert error.lines == (
        ("error", 'jobs.ingest.schedule (line 8): "30 2 * * 1-5 *" has 6 fields but no cron(...)'),
        ("why", "5 fields are cron's (1 = Monday). 6 fields belong to EventBridge (1 = SUNDAY), inside cron(...)"),
        ("do", 'schedule = "30 2 * * 1-5"               Mon-Fri, next Wed 25 Nov 02:30 Europe/Berlin'),
        ("or", 'schedule = "cron(30 2 ? * MON-FRI *)"   the same'),
        ("or", 'schedule = "cron(30 2 ? * 1-5 *)"       Sun-Thu, next Wed 25 Nov 02:30 Europe/Berlin'),
        ("error", "jobs.ingest.time_limt (line 9): unknown key"),
        ("do", "did you mean time_limit? All keys of a job: dayfly check --keys"),
    )


def test_unknown_key_is_refused_with_nearest_spelling() -> None:
    found = only(with_job_key('time-limit = "1h"'))
    assert (found.path, found.line, found.message) == ("jobs.pi.time-limit", 7, "unknown key")
    assert found.remedies == ("did you mean time_limit? All keys of a job: dayfly check --keys",)


@pytest.mark.parametrize("key", ["monthly_cap", "catchup", "heartbeat"])
def test_unknown_key_without_near_spelling_names_the_list(key: str) -> None:
    assert only(with_job_key(f'{key} = "x"')).remedies == ("All keys of a job: dayfly check --keys",)
    assert only(f'{key} = "x"\n{LEAST}').message == "unknown key"


def test_value_outside_fixed_set_is_refused_with_the_set() -> None:
    found = only(with_job_key('overlap = "queue"'))
    assert (found.message, found.remedies) == ('"queue" is not an allowed value', ('"skip" or "allow"',))


def test_second_region_is_refused() -> None:
    found = only(LEAST.replace('["eu-west-1"]', '["eu-west-1", "us-east-1"]'))
    assert (found.path, found.message, found.remedies) == (
        "regions",
        "a project has exactly one region",
        ('["eu-west-1"]',),
    )


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('servers = "c8g.large"', "expected a list"),
        ("servers = []", "the list is empty"),
        ('servers = ["c8g.large", "c8g.large"]', "twice"),
        ('servers = ["c8g"]', "not an EC2 type"),
        ('servers = ["mac2.metal"]', "macOS"),
        ('servers = ["c8g.large", "c7i.large"]', "c8g.large (arm64) with c7i.large (x86_64)"),
        ('command = " "', "empty"),
        ("command = []", "names no program"),
        ('command = ["sh", 1]', "not a number: 1"),
        ("command = 5", "expected a string"),
        ('command = "a\\u0000b"', "control character"),
    ],
)
def test_invalid_required_key_is_refused(line: str, word: str) -> None:
    key = line.split(" = ")[0]
    text = "\n".join(line if old.startswith(key) else old for old in LEAST.splitlines())
    found = only(text)
    assert found.path == f"jobs.pi.{key}"
    assert word in found.message


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('market = "cheap"', '"cheap" is not an allowed value'),
        ('time_limit = "0s"', "too short"),
        ("time_limit = 30", "has no unit"),
        ('time_limit = "1 hour"', "not a duration"),
        ('time_limit = "400d"', "too long"),
        ('margin = "9m"', "too short"),
        ('start_within = "30s"', "too short"),
        ('start_within = "2d"', "too long"),
        ('disk = "4GB"', "8GB to 16TB"),
        ('disk = "17TB"', "8GB to 16TB"),
        ('disk = "50"', "not a size"),
        ("disk = 50", "expected a string"),
        ("disk = { throughput = 500 }", "has no size"),
        ('disk = { size = "500GB", speed = 3 }', "has no key"),
        ('disk = { size = "4GB", throughput = 500 }', "8GB to 16TB"),
        ('disk = { size = "500GB", throughput = "500" }', "a whole number of MiB/s, not a string"),
        ('disk = { size = "500GB", throughput = true }', "a whole number of MiB/s"),
        ('disk = { size = "500GB", throughput = 124 }', "125 to 2,000 MiB/s"),
        ('disk = { size = "500GB", throughput = 2001 }', "125 to 2,000 MiB/s"),
        ('disk = { size = "500GB", iops = 2999 }', "3,000 to 80,000 IOPS"),
        ('disk = { size = "500GB", iops = 80001 }', "3,000 to 80,000 IOPS"),
        ('disk = { size = "500GB", throughput = 1000, iops = 3999 }', "1000 MiB/s need at least 4,000 IOPS"),
        ('disk = { size = "20GB", iops = 10001 }', "20 GB have at most 10,000 IOPS"),
        ('image = "ami-xyz"', "not an image"),
        ('outputs = ["/tmp/x"]', "not relative"),
        ('outputs = ["a/../../x"]', "leaves the folder"),
        ('outputs = ["~/x"]', "not relative"),
        ('outputs = ["out/"]', "is a folder"),
        ('outputs = ["."]', "is a folder"),
        ('bundle = [".."]', "leaves the folder"),
        ('bundle = ["C:\\\\x"]', "not relative"),
        ('python = "3.13"', "not a file that lists dependencies"),
        ('setup = ""', "empty"),
        ("env = { N = 3 }", "not a number: 3"),
        ('env = { "A-B" = "3" }', "not a variable name"),
        ('env = { DAYFLY_X = "3" }', "set by dayfly"),
        ('env = { AWS_SECRET_ACCESS_KEY = "3" }', "set by dayfly"),
        ('env = { AWS_ENDPOINT_URL_S3 = "3" }', "set by dayfly"),
        ('env = "A=3"', "expected a table"),
        ('timezone = "Europe/Berlln"', "not a time zone"),
        ('timezone = "europe/berlin"', "not a time zone"),
        ('timezone = "../../etc/passwd"', "not a time zone"),
        ('schedule = "99 * * * *"', "not 0-59"),
        ('schedule = ["0 6 * * *", "0 0 31 2 *"]', "is never due"),
        ("schedule = 5", "expected a list of strings"),
    ],
)
def test_invalid_value_of_a_job_is_refused(line: str, word: str) -> None:
    found = only(with_job_key(line))
    assert found.path.startswith(f"jobs.pi.{line.split(' = ')[0]}")
    assert found.line == 7
    assert word in found.message


@pytest.mark.parametrize(
    ("line", "path", "word"),
    [
        ('account = "1234"', "account", "12 digits"),
        ("account = 123456789012", "account", "expected a string"),
        ('keep = "12h"', "keep", "too short"),
        ('permissions_boundary = "dev"', "permissions_boundary", "ARN"),
        ('tags = { "a b" = "c" }', 'tags."a b"', "letters, digits"),
        ('tags = { "aws:x" = "c" }', 'tags."aws:x"', "is reserved"),
        ('tags = { "dayfly:run" = "c" }', 'tags."dayfly:run"', "is reserved"),
        ('tags = { a = "c;d" }', "tags.a", "256"),
        ('tags = { Owner = "a", owner = "b" }', "tags.owner", "twice"),
        ("tags = { a = 1 }", "tags.a", "expected a string"),
        ('jobs = "x"', "jobs", "expected a table"),
    ],
)
def test_invalid_value_of_a_project_is_refused(line: str, path: str, word: str) -> None:
    text = f"{line}\n{LEAST}" if not line.startswith("jobs") else f'{line}\nproject = "pi"\nregions = ["eu-west-1"]\n'
    found = only(text)
    assert (found.path, found.line) == (path, 1)
    assert word in found.message


def test_at_most_40_tags_are_accepted() -> None:
    many = ", ".join(f'k{number} = "v"' for number in range(41))
    assert "41 tags" in only(f"tags = {{ {many} }}\n{LEAST}").message


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1", "us-iso-east-1", "eu-isoe-west-1", "eusc-de-east-1"])
def test_region_of_another_partition_is_refused(region: str) -> None:
    found = only(LEAST.replace("eu-west-1", region))
    assert found.path == "regions"
    assert f"{region} is not in AWS's standard partition" in found.message


def test_boundary_of_another_partition_is_refused() -> None:
    found = only(f'permissions_boundary = "arn:aws-cn:iam::999999999999:policy/dev"\n{LEAST}')
    assert (found.path, "standard partition" in found.message) == ("permissions_boundary", True)


def test_boundary_of_another_account_is_refused() -> None:
    boundary = 'permissions_boundary = "arn:aws:iam::999999999999:policy/dev"'
    found = only(f'account = "123456789012"\n{boundary}\n{LEAST}')
    assert (found.path, found.line) == ("permissions_boundary", 2)
    read(f'account = "123456789012"\npermissions_boundary = "arn:aws:iam::aws:policy/PowerUserAccess"\n{LEAST}')


@pytest.mark.parametrize(
    ("network", "path", "word"),
    [
        ('[network.us-east-1]\nsubnets = ["subnet-0a1b2c3d"]', "network.us-east-1", "not in regions"),
        ('[network.eu-west-1]\nsubnets = ["sn-1"]', "network.eu-west-1.subnets", "not an id"),
        ('[network.eu-west-1]\npublic_ip = "no"', "network.eu-west-1.public_ip", "true or false"),
        ('[network.eu-west-1]\nvpc = "vpc-1"', "network.eu-west-1.vpc", "unknown key"),
    ],
)
def test_invalid_network_is_refused(network: str, path: str, word: str) -> None:
    found = only(f"{LEAST}{network}\n")
    assert found.path == path
    assert word in found.message


def test_key_in_wrong_table_names_its_place() -> None:
    assert only(f'schedule = "@daily"\n{LEAST}').remedies == ("schedule belongs to [jobs.NAME]",)
    assert only(with_job_key('keep = "7d"')).remedies == ("keep belongs to the top of the file",)


def test_file_needs_a_job_and_a_job_is_a_table() -> None:
    assert only('project = "pi"\nregions = ["eu-west-1"]\n').message == "the file has no job"
    found = only('project = "pi"\nregions = ["eu-west-1"]\n[jobs]\ncommand = "x"\n')
    assert (found.path, found.remedies) == ("jobs.command", ("put it under [jobs.NAME]",))


def test_invalid_default_is_reported_once_at_its_line() -> None:
    text = (
        LEAST
        + '[jobs.two]\ncommand = "x"\nservers = ["c8g.large"]\n[defaults]\ndisk = "1GB"\nschedule = "99 * * * *"\n'
    )
    assert [(problem.path, problem.line) for problem in problems(text)] == [
        ("defaults.disk", 11),
        ("defaults.schedule", 12),
    ]


def test_invalid_default_is_reported_even_if_overridden() -> None:
    assert only(with_job_key('disk = "20GB"\n[defaults]\ndisk = "1GB"')).path == "defaults.disk"


def test_invalid_toml_names_its_line() -> None:
    found = only('project = "pi"\nregions = [eu-west-1]\n')
    assert (found.path, found.line) == ("", 2)
    assert str(found).startswith("line 2: invalid TOML: invalid value")
    assert only('project = "pi').line == 1
    assert only('a = [\n"x"\n').line == 2


def test_empty_file_names_what_is_required() -> None:
    assert [problem.path for problem in problems("")] == ["regions", "project", "jobs"]


SCALARS = [
    "1",
    "-1",
    "1e9",
    "inf",
    "true",
    '""',
    '"*"',
    '"\\u0000"',
    '"1h"',
    '"99999999999999d"',
    "2026-11-24",
    "07:00:00",
]
ODD = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: "[" + ", ".join(parts) + "]"),
        st.dictionaries(st.sampled_from(['""', "a", '"a b"', "eu-west-1", "command"]), inner, max_size=2).map(
            lambda table: "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"
        ),
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([*keys.ALL, *keys.TABLES]), ODD)
def test_no_value_of_any_key_raises_another_error(key: keys.Key | str, value: str) -> None:
    name = key if isinstance(key, str) else key.name
    headers = {"network": "[network.eu-west-1]", "job": "[jobs.pi]"}
    line = f"{name} = {value}"
    if isinstance(key, str) or key.scope == "project":
        text = f'{line}\n[jobs.pi]\ncommand = "x"\n' if name != "jobs" else line
    else:
        text = f"{headers[key.scope]}\n{line}"
    for problem in problems(text):  # each of these texts lacks something that is required
        assert problem.message
        assert problem.line is None or 1 <= problem.line <= 3


@pytest.mark.parametrize("name", ["kill-old", "dayfly-sweeper"])
def test_job_cannot_take_the_name_of_dayflys_own_schedules(name: str) -> None:
    only(LEAST.replace("[jobs.pi]", f"[jobs.{name}]"))


@pytest.mark.parametrize(("keep", "start_within"), [("1d", "1d"), ("1d", "23h30m"), ("86399s", "1h")])
def test_keep_shorter_than_start_within_is_refused(keep: str, start_within: str) -> None:
    found = only(f'keep = "{keep}"\n' + with_job_key(f'start_within = "{start_within}"'))
    assert (found.path, found.line) == ("keep", 1)
    assert "too short" in found.message
    assert found.remedies


def test_keep_an_hour_longer_than_start_within_is_enough() -> None:
    read('keep = "25h"\n' + with_job_key('start_within = "1d"'))
    read('keep = "1d"\n' + with_job_key('start_within = "23h"'))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("data", '"data" is neither an e-mail address nor an https URL'),
        ("data@acme", '"data@acme" is neither an e-mail address nor an https URL'),
        ("https://", '"https://" is neither an e-mail address nor an https URL'),
        ("http://hooks.example/x", '"http://hooks.example/x" is not https'),
        ("ftp://hooks.example/x", '"ftp://hooks.example/x" is neither an e-mail address nor an https URL'),
        ("https://u:p@hooks.example/x", '"https://u:p@hooks.example/x" is neither an e-mail address nor an https URL'),
        ("https://hooks.example/ x", '"https://hooks.example/ x" is neither an e-mail address nor an https URL'),
    ],
)
def test_address_that_cannot_be_told_is_refused(address: str, message: str) -> None:
    assert only(f'notify = ["{address}"]\n{LEAST}').message == message


def test_receiver_on_this_machine_may_be_plain_http() -> None:
    text = f'notify = ["http://127.0.0.1:8000/x", "https://hooks.example:8443/x?y=1"]\n{LEAST}'
    assert read(text).notify == ("http://127.0.0.1:8000/x", "https://hooks.example:8443/x?y=1")


@pytest.mark.parametrize(
    "value", ["results/", "s3://", "s3://acme-lake/*", "s3://dayfly-lake-123456789012-eu-west-1/x/"]
)
def test_place_of_results_that_cannot_be_is_refused(value: str) -> None:
    assert only(with_job_key(f'results = "{value}"')).path == "jobs.pi.results"


@pytest.mark.parametrize("value", ["project", "s3://acme-lake/ingest/", "s3://acme-lake"])
def test_place_of_results_is_the_project_or_another_bucket(value: str) -> None:
    assert read(with_job_key(f'results = "{value}"')).jobs["pi"].results == value
