"""The guest image on disk: it is found whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_programs import needs_x86, put_image

from localcloud.commandline.main import main
from localcloud.guests.vm import image, recipe


def test_complete_image_is_found_with_its_manifest(tmp_path):
    directory = put_image(tmp_path / recipe.digest())
    found = image.find(tmp_path)
    assert found is not None
    assert (found.root, found.kernel) == (directory / "root.ext4", directory / "vmlinuz")
    assert (found.manifest.python, found.manifest.packages["cloud-init"]) == ("3.13", "25.1")


def test_no_image_is_found_in_an_empty_cache(tmp_path):
    assert image.find(tmp_path) is None
    assert image.find(tmp_path / "absent") is None


@pytest.mark.parametrize("part", [image.ROOT, image.KERNEL, image.MANIFEST])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_damaged_image_is_not_found(tmp_path, part, damage):
    path = put_image(tmp_path / recipe.digest()) / part
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    assert image.find(tmp_path) is None


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"digest": 1, "packages": [], "lengths": 0}'])
def test_malformed_manifest_is_rejected(text):
    with pytest.raises(ValueError, match="not a manifest"):
        image.Manifest.read(text)


def test_image_of_another_recipe_is_not_found(tmp_path):
    put_image(tmp_path / recipe.digest()).rename(tmp_path / ("0" * 16))
    assert image.find(tmp_path) is None
    assert image.read(tmp_path / ("0" * 16)) is None


def test_rebuilt_image_gets_its_own_directory_and_is_found_first(tmp_path):
    assert image.free_directory(tmp_path) == tmp_path / recipe.digest()
    old = put_image(image.free_directory(tmp_path))
    new = put_image(image.free_directory(tmp_path))
    for _ in range(9):
        newest = put_image(image.free_directory(tmp_path))
    assert old != new
    assert image.find(tmp_path).directory == newest
    assert newest.name.endswith(".11")
    (newest / image.ROOT).unlink()
    assert image.find(tmp_path).directory.name.endswith(".10")


def test_cache_directory_follows_the_environment():
    assert image.cache_directory({"HOME": "/h"}) == Path("/h/.cache/localcloud/images")
    assert image.cache_directory({"HOME": "/h", "XDG_CACHE_HOME": "/c"}) == Path("/c/localcloud/images")
    assert image.cache_directory({"HOME": "/h", "LOCALCLOUD_CACHE": "/own"}) == Path("/own")


def test_recipe_digest_is_the_same_in_every_process():
    program = "from localcloud.guests.vm import recipe; print(recipe.digest())"
    output = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert output == {recipe.digest()}


@needs_x86
@pytest.mark.usefixtures("qemu", "whole")
def test_image_command_prints_image_and_accelerator(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LOCALCLOUD_CACHE", str(tmp_path / "cache"))
    assert main(["image", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["directory"] == str(tmp_path / "cache" / recipe.digest())
    assert (output["built"], output["size"], output["python"]) == (False, 8192, "3.13")
    assert output["accelerator"] in ("kvm", "tcg")
    assert main(["image"]) == 0
    assert f"{output['accelerator']}: {output['why']}" in capsys.readouterr().out


def test_find_prints_the_image_or_exits_1(tmp_path, monkeypatch, capsys):
    cache = tmp_path / "cache"
    monkeypatch.setenv("LOCALCLOUD_CACHE", str(cache))
    assert main(["image", "--find"]) == 1
    assert capsys.readouterr().out == ""
    assert not cache.exists()
