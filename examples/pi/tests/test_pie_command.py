"""The command as a user runs it: digits, time, the JSON beside them, signals, refusals."""

import hashlib
import os
import signal
import time
from pathlib import Path

import pytest
from pie_calls import WITHOUT_FLINT, call, euler_digits, start

pytest.importorskip("flint", reason=WITHOUT_FLINT)

ALLOWANCE = 0.5


def leftover_files(folder: Path) -> list[str]:
    """Return the names of temporary files in the folder."""
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    """Return whether the process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


@pytest.mark.parametrize("seconds", ["0.5", "1", "2.5"])
def test_digits_are_correct_and_never_late(tmp_path: Path, seconds: str) -> None:
    called = call(seconds, tmp_path / "out" / "pi.txt")
    assert called.code == 0, called.err
    assert called.took <= float(seconds) + ALLOWANCE + 0.25  # the test's own start of the process is in `took`
    assert called.text.startswith(euler_digits(3000)[: min(3000, called.digits)])
    assert called.text.endswith("\n")
    assert called.description["digits"] == called.digits >= 1000
    assert called.description["late"] is False
    assert called.description["seconds_used"] <= float(seconds) + ALLOWANCE
    assert leftover_files(tmp_path / "out") == []


def test_short_run_agrees_with_another_formula(tmp_path: Path) -> None:
    called = call("0.3", tmp_path / "pi.txt")
    # Truncated, not rounded, up to the last digit; limited to what integers can compute in a test.
    count = min(called.digits, 20_000)
    assert called.text[: count + 2] == euler_digits(count)


def test_more_time_gives_more_digits(tmp_path: Path) -> None:
    few, many = call("0.5", tmp_path / "few.txt"), call("4", tmp_path / "many.txt")
    assert many.digits > few.digits
    assert many.text.startswith(few.text.strip())


def test_digits_at_one_million_are_right(tmp_path: Path) -> None:
    called = call("4", tmp_path / "pi.txt")
    if called.digits < 1_000_000:
        pytest.skip(f"this machine found only {called.digits} digits in 4 s")
    # The last digits of the first million, printed in many places since 1973.
    assert called.text[2 + 999_990 : 2 + 1_000_000] == "5779458151"


def test_json_says_exactly_what_was_checked(tmp_path: Path) -> None:
    called = call("2", tmp_path / "pi.txt")
    description = called.description
    assert description["sha256"] == hashlib.sha256(called.output.read_bytes()).hexdigest()
    assert description["seconds_asked"] == 2
    assert description["cores"] == len(os.sched_getaffinity(0))
    assert all(1 == c["from"] <= c["to"] <= called.digits for c in description["checked"])
    second = max((c["to"] for c in description["checked"] if "second formula" in c["what"]), default=0)
    if second < called.digits:
        assert [(c["from"], c["to"]) for c in description["not_checked"]] == [(second + 1, called.digits)]
    assert f"{called.digits:,} digits of pi in " in called.out
    assert called.out.count("\n") == 1


def test_almost_no_time_leaves_a_complete_file(tmp_path: Path) -> None:
    called = call("0.01", tmp_path / "pi.txt")
    assert called.code == 0
    assert called.text == euler_digits(1000) + "\n"
    assert "all confirmed by a second formula" in called.out


@pytest.mark.parametrize("after", [0.3, 2.0])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_leaves_the_best_complete_file(tmp_path: Path, after: float, number: signal.Signals, code: int) -> None:
    output = tmp_path / "pi.txt"
    process = start("30", str(output))
    time.sleep(after)
    found = children_of(process.pid)
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == code
    assert time.monotonic() - began < 2
    assert all(gone(pid) for pid in found)
    text = output.read_text()
    count = len(text) - 3
    assert count >= 1000
    assert text.startswith(euler_digits(min(count, 3000)))
    assert f'"digits": {count},' in output.with_suffix(".json").read_text()
    assert leftover_files(tmp_path) == []


def test_killed_search_leaves_the_last_file(tmp_path: Path) -> None:
    output = tmp_path / "pi.txt"
    process = start("30", str(output))
    time.sleep(1)
    (search,) = children_of(process.pid)
    os.kill(search, signal.SIGKILL)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "was killed; kept" in err
    assert output.read_text().startswith(euler_digits(1000))


def test_hanging_search_does_not_make_it_late(tmp_path: Path) -> None:
    output = tmp_path / "pi.txt"
    began = time.monotonic()
    process = start("2", str(output))
    time.sleep(0.7)
    (search,) = children_of(process.pid)
    os.kill(search, signal.SIGSTOP)
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert time.monotonic() - began <= 2 + ALLOWANCE + 0.25
    assert gone(search)
    assert output.read_text().startswith(euler_digits(1000))
    assert leftover_files(tmp_path) == []


def test_killing_the_command_leaves_no_process(tmp_path: Path) -> None:
    process = start("300", str(tmp_path / "pi.txt"))
    time.sleep(2)  # by now it computes a result that takes many seconds, and cannot notice by itself
    found = children_of(process.pid)
    assert found
    process.kill()
    process.wait()  # communicate() would wait for processes it left, which keep its output open
    until = time.monotonic() + 2
    while time.monotonic() < until and not all(gone(pid) for pid in found):
        time.sleep(0.05)
    left = [pid for pid in found if not gone(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert left == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "needs SECONDS and OUTPUT"),
        (["10"], "arguments given: 1"),
        (["ten", "pi.txt"], "SECONDS must be a number, not 'ten'"),
        (["0", "pi.txt"], "above 0"),
        (["-3", "pi.txt"], "above 0"),
        (["nan", "pi.txt"], "above 0"),
        (["inf", "pi.txt"], "above 0"),
        (["1", ""], "must be a file"),
        (["1", "/"], "must be a file"),
        (["1", "pi.json"], "must not end in .json"),
    ],
)
def test_wrong_command_line_is_explained(arguments: list[str], word: str) -> None:
    process = start(*arguments)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert out == ""
    assert word in err


def test_folder_that_cannot_be_created_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    called = call("1", tmp_path / "file" / "pi.txt")
    assert called.code == 1
    assert called.err.startswith("pie: ")
    assert called.err.count("\n") == 1
