"""Packages in a bundle. They come from small wheels made here; only one test asks a package index."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import uv

from dayfly.errors import FileError
from dayfly.project.bundle.archive import Zip
from dayfly.project.bundle.job_bundle import Bundle, build_job_bundle
from dayfly.project.bundle.target import Target
from project.sample_folders import OLD_X86, names

ARM = Target(machine="aarch64", python="3.13", glibc="2.41")
HERE = Target(
    machine=platform.machine(),
    python=".".join(platform.python_version_tuple()[:2]),
    glibc=platform.libc_ver()[1] or None,
)
EXAMPLE = Path(__file__).parents[2] / "examples" / "pi"
INDEX = "--no-index\n--find-links ./wheelhouse\n"

PYPROJECT = """
[project]
name = "greet"
version = "1.2"
requires-python = ">=3.9"
dependencies = ["words"]

[project.scripts]
greet = "greet:main"

[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[tool.uv]
no-index = true
find-links = ["wheelhouse"]
"""
BACKEND = """
import pathlib, zipfile

TAG = "py3-none-any"

def build_wheel(folder, settings=None, metadata=None):
    pathlib.Path("left-behind.txt").write_text("a builder writes where it likes")
    name = f"greet-1.2-{TAG}.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.write("greet.py")
        wheel.writestr("greet-1.2.dist-info/METADATA", "Metadata-Version: 2.1\\nName: greet\\nVersion: 1.2\\n")
        wheel.writestr("greet-1.2.dist-info/WHEEL", f"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {TAG}\\n")
        wheel.writestr("greet-1.2.dist-info/entry_points.txt", "[console_scripts]\\ngreet = greet:main\\n")
        wheel.writestr("greet-1.2.dist-info/RECORD", "greet.py,,\\ngreet-1.2.dist-info/RECORD,,\\n")
    return name
"""
GREET = "import words\n\ndef main():\n    print(words.HELLO)\n"


def make_wheel(house: Path, name: str, version: str, tag: str, files: Mapping[str, str]) -> str:
    """A wheel in `house`; its sha256."""
    info = f"{name}-{version}.dist-info"
    all_files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    rows = "".join(f"{path},,\n" for path in [*all_files, f"{info}/RECORD"])
    house.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        for path, text in {**all_files, f"{info}/RECORD": rows}.items():
            wheel.writestr(path, text)
    (house / f"{name}-{version}-{tag}.whl").write_bytes(content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project's folder beside which lie wheels of `words` (pure), and of `fast` for Linux arm64 with Python 3.13 only."""
    home = tmp_path / "home"
    house = home / "wheelhouse"
    make_wheel(house, "words", "1.0", "py3-none-any", {"words.py": "HELLO = 'hello'\n"})
    script = {"fast-2.0.data/scripts/faster": "#!python\nimport fast\n"}
    make_wheel(house, "fast", "2.0", "cp313-cp313-manylinux_2_28_aarch64", {"fast.py": "", **script})
    (home / ".gitignore").write_text("wheelhouse/\n")
    return home


def pack(home: Path, target: Target, *, python: str = "auto", cache: Path | None = None) -> Bundle:
    built = build_job_bundle(home, (".",), python, target, home.parent / "out", job="pi", cache=cache)
    assert built is not None
    return built


def unpack(built: Zip, place: Path) -> Path:
    with zipfile.ZipFile(built.path) as archive:
        for info in archive.infolist():
            archive.extract(info, place)
            (place / info.filename).chmod((info.external_attr >> 16) & 0o777)
    return place


def package(home: Path, pyproject: str = PYPROJECT) -> Path:
    for name, text in {"pyproject.toml": pyproject, "backend.py": BACKEND, "greet.py": GREET}.items():
        (home / name).write_text(text)
    return home


def test_wheels_are_chosen_for_the_target(home: Path) -> None:
    (home / "requirements.txt").write_text(INDEX + "fast  # quick\nwords==1.0\n")
    built = pack(home, ARM)
    assert built.wheels == ("fast-2.0-cp313-cp313-manylinux_2_28_aarch64", "words-1.0-py3-none-any")
    assert (built.python, built.source, built.files) == ("3.13", "requirements.txt", 2)
    assert {".dayfly/site/words.py", ".dayfly/site/fast.py", ".dayfly/bin/faster"} <= set(names(built))


def test_bundle_does_not_name_this_machine(home: Path) -> None:
    package(home)
    (home / "requirements.txt").write_text(INDEX + "fast\nwords\n")
    place = unpack(pack(home, ARM), home.parent / "unpacked")
    here = [str(home.parent).encode(), sys.prefix.encode(), sys.base_prefix.encode(), uv.find_uv_bin().encode()]
    for file in (path for path in place.rglob("*") if path.is_file()):
        assert not [trace for trace in here if trace in file.read_bytes()], file
    for script in (place / ".dayfly" / "bin").iterdir():
        assert script.read_bytes().startswith(b"#!/usr/bin/env python3\n")
        assert script.stat().st_mode & 0o111
    left = {path.name for path in (place / ".dayfly").rglob("*")}
    assert not left & {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", ".lock", "__pycache__"}


def test_package_without_a_wheel_is_refused_by_name(home: Path) -> None:
    (home / "requirements.txt").write_text(INDEX + "fast\n")
    with pytest.raises(
        FileError, match=r"jobs\.pi\.python: fast has no wheel for Linux x86_64, Python 3\.11"
    ) as refused:
        pack(home, OLD_X86)
    labels = [label for label, _ in refused.value.lines]
    assert "why" in labels
    assert "do" in labels


def test_wheel_for_a_newer_glibc_is_refused(home: Path) -> None:
    (home / "requirements.txt").write_text(INDEX + "fast\n")
    with pytest.raises(FileError, match="fast has no wheel"):
        pack(home, Target(machine="aarch64", python="3.13", glibc="2.26"))


def test_hashes_are_checked(home: Path) -> None:
    good = hashlib.sha256((home / "wheelhouse" / "words-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    (home / "requirements.txt").write_text(INDEX + f"words==1.0 \\\n    --hash=sha256:{good}\n")
    assert pack(home, ARM).wheels == ("words-1.0-py3-none-any",)
    (home / "requirements.txt").write_text(INDEX + f"words==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    with pytest.raises(FileError, match=r"jobs\.pi\.python"):
        pack(home, ARM)


def test_uv_lock_comes_first_and_leaves_out_dev_groups(home: Path) -> None:
    package(home, PYPROJECT + '\n[dependency-groups]\ndev = ["fast"]\n')
    lock = [uv.find_uv_bin(), "lock", "--python", sys.executable, "--no-python-downloads", "-q"]
    subprocess.run(lock, cwd=home, check=True, timeout=60)
    (home / "requirements.txt").write_text("nonsense-that-is-not-read\n")
    built = pack(home, HERE)
    assert built.source == "uv.lock"
    assert built.wheels == ("greet-1.2-py3-none-any", "words-1.0-py3-none-any")


def test_stale_uv_lock_is_refused(home: Path) -> None:
    package(home)
    lock = [uv.find_uv_bin(), "lock", "--python", sys.executable, "--no-python-downloads", "-q"]
    subprocess.run(lock, cwd=home, check=True, timeout=60)
    (home / "pyproject.toml").write_text(PYPROJECT.replace('["words"]', '["words", "Fast_Thing[x]>=2"]'))
    with pytest.raises(FileError, match=r"uv\.lock does not match pyproject\.toml: it lacks fast-thing"):
        pack(home, ARM)


def test_pylock_is_installed(home: Path) -> None:
    wheel = "wheelhouse/words-1.0-py3-none-any.whl"
    digest = hashlib.sha256((home / wheel).read_bytes()).hexdigest()
    entry = f'name = "words"\nversion = "1.0"\nwheels = [{{ path = "{wheel}", hashes = {{ sha256 = "{digest}" }} }}]\n'
    (home / "pylock.toml").write_text(f'lock-version = "1.0"\ncreated-by = "us"\n[[packages]]\n{entry}')
    built = pack(home, ARM)
    assert (built.wheels, built.source) == (("words-1.0-py3-none-any",), "pylock.toml")


def test_script_of_a_project_runs_from_the_bundle_alone(home: Path) -> None:
    built = pack(package(home), HERE)
    assert built.source == "pyproject.toml"
    place = unpack(built, home.parent / "server")
    env = {
        "PATH": f"{place}/.dayfly/bin:{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": f"{place}/.dayfly/site",
    }
    done = subprocess.run(["greet"], cwd=place, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "hello\n"


def test_building_leaves_nothing_in_the_users_folder(home: Path) -> None:
    package(home)
    before = sorted(home.rglob("*"))
    first = pack(home, ARM)
    assert sorted(home.rglob("*")) == before
    assert pack(home, ARM).sha256 == first.sha256


def test_project_with_compiled_parts_is_refused(home: Path) -> None:
    package(home)
    (home / "backend.py").write_text(BACKEND.replace("py3-none-any", "cp311-cp311-linux_x86_64"))
    with pytest.raises(FileError, match="greet has compiled parts"):
        pack(home, ARM)


def test_failed_build_says_why(home: Path) -> None:
    package(home)
    (home / "backend.py").write_text("def build_wheel(*_, **__):\n    raise RuntimeError('no compiler of dreams')\n")
    with pytest.raises(FileError, match="greet cannot be built") as refused:
        pack(home, ARM)
    assert any("no compiler of dreams" in text for _, text in refused.value.lines)


def test_project_named_by_path_is_built_with_its_packages(home: Path) -> None:
    (home / "libs").mkdir()
    package(home / "libs")
    (home / "libs" / "pyproject.toml").write_text(PYPROJECT.split("[tool.uv]")[0])
    (home / "more.txt").write_text(INDEX + "-e ./libs\n")
    (home / "requirements.txt").write_text("-r more.txt\n")
    assert pack(home, ARM).wheels == ("greet-1.2-py3-none-any", "words-1.0-py3-none-any")


def test_second_call_uses_the_cache(home: Path) -> None:
    package(home)
    cache = home.parent / "cache"
    first = pack(home, ARM, cache=cache)
    shutil.rmtree(home / "wheelhouse")  # what is asked for again could not be found any more
    again = pack(home, ARM, cache=cache)
    assert (again.sha256, again.wheels) == (first.sha256, first.wheels)
    again.path.write_bytes(b"broken since")
    assert pack(home, ARM, cache=cache).path.stat().st_size == first.size
    assert not [path for path in cache.iterdir() if path.name.startswith("unfinished-")]
    (home / "pyproject.toml").write_text(PYPROJECT.replace('["words"]', '["words==9"]'))
    with pytest.raises(FileError):
        pack(home, ARM, cache=cache)


def test_changed_project_code_is_in_the_next_bundle(home: Path) -> None:
    package(home)
    cache = home.parent / "cache"
    first = pack(home, ARM, cache=cache)
    (home / "greet.py").write_text("def main():\n    print('bye')\n")
    with zipfile.ZipFile(pack(home, ARM, cache=cache).path) as archive:
        assert b"bye" in archive.read(".dayfly/site/greet.py")
    assert first.path.exists()


def test_none_and_no_dependencies_include_no_packages(home: Path) -> None:
    (home / "a.py").write_text("")
    plain = pack(home, ARM)
    assert (plain.wheels, plain.source) == ((), None)
    (home / "requirements.txt").write_text(INDEX + "words\n")
    assert pack(home, ARM, python="none").wheels == ()
    assert not [name for name in names(pack(home, ARM, python="none")) if name.startswith(".dayfly/")]


@pytest.mark.parametrize("python", ["requirement.txt", "../outside.txt"])
def test_named_file_outside_the_folder_is_refused(home: Path, python: str) -> None:
    (home.parent / "outside.txt").write_text("")
    with pytest.raises(FileError, match=r"jobs\.pi\.python: there is no file") as refused:
        pack(home, ARM, python=python)
    assert refused.value.exit_code == 2


def test_named_file_replaces_the_lock(home: Path) -> None:
    (home / "requirements.txt").write_text(INDEX + "fast\n")
    (home / "prod.txt").write_text(INDEX + "words\n")
    built = pack(home, ARM, python="prod.txt")
    assert (built.wheels, built.source) == (("words-1.0-py3-none-any",), "prod.txt")


@pytest.mark.parametrize("target", [ARM, OLD_X86], ids=str)
def test_example_is_bundled_for_both_architectures(target: Target, tmp_path: Path) -> None:
    if not (EXAMPLE / "requirements.txt").is_file():
        pytest.skip("examples/pi has no lock yet")
    asked = [uv.find_uv_bin(), "pip", "compile", "--no-header", "-q", "-"]
    if subprocess.run(asked, input="idna", text=True, capture_output=True, check=False, timeout=60).returncode:
        pytest.skip("no package index within reach")
    built = build_job_bundle(EXAMPLE, (".",), "auto", target, tmp_path, job="pi")
    assert built is not None
    flint = next(name for name in built.wheels if name.startswith("python_flint"))
    assert target.machine in flint
    assert "abi3" in flint or f"cp{target.python.replace('.', '')}" in flint
    assert ".dayfly/bin/pie" in names(built)
    assert json.dumps(built.code("bundles/x").wheels)
