"""Build what a deploy uploads: each job's bundle, the functions' zips and the agent's. Runs on the laptop and calls no cloud."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import dayfly
from dayfly.core import names
from dayfly.core.model import Agent, Code, Job, Project
from dayfly.errors import FileError
from dayfly.project.bundle.archive import Zip
from dayfly.project.bundle.function_zips import build_function_zip
from dayfly.project.bundle.job_bundle import Bundle, build_job_bundle
from dayfly.project.bundle.server_code import build_agent_zip, read_boot_sources
from dayfly.project.bundle.target import Target, image_target, local_target
from dayfly.project.deploy.discovery import FoundImage
from dayfly.project.stack import user_data

PACKAGE = Path(dayfly.__file__).parent
_DEPENDENCIES = ("uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml")

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The user's folder, and the cache in it for what dayfly builds and downloads."""

    path: Path
    cache: Path


@dataclass(frozen=True, kw_only=True)
class Packages:
    """What was built: the bundle of each job (none if the job takes no files), and what is the same for all jobs.

    `user_data` is base64, and travels in the stack's launch templates; the zips are uploaded.
    """

    bundles: Mapping[str, Bundle]
    functions: Mapping[str, Zip]
    agent_zip: Zip
    user_data: str

    @property
    def agent(self) -> Agent:
        """The description of the agent that the version of every job holds."""
        made = self.agent_zip
        return Agent(key=agent_key(made), sha256=made.sha256, size=made.size)

    def code(self, job: str) -> Code | None:
        """Return the description of the job's bundle that its version holds; None if it has no bundle."""
        made = self.bundles.get(job)
        return made.code(bundle_key(made)) if made else None

    def uploads(self) -> dict[str, Path]:
        """Return the files to upload, by key."""
        functions = {function_key(made): made.path for made in self.functions.values()}
        agent = {agent_key(self.agent_zip): self.agent_zip.path}
        return functions | agent | {bundle_key(made): made.path for made in self.bundles.values()}


def function_key(made: Zip) -> str:
    return f"{names.FUNCTIONS}{made.sha256}.zip"


def agent_key(made: Zip) -> str:
    return f"{names.AGENTS}{made.sha256}.zip"


def bundle_key(made: Zip) -> str:
    return f"{names.BUNDLES}{made.sha256}.zip"


def build_packages(project: Project, images: Mapping[str, FoundImage], folder: Folder, say: Say) -> Packages:
    """Build everything. `images`: by job. Raises FileError if something cannot be packed."""
    bundles = {}
    for name, job in project.jobs.items():
        made = _bundle(folder, job, images[name], say)
        if made is not None:
            bundles[name] = made
    zips = folder.cache / "functions"
    functions = {name: build_function_zip(name, PACKAGE, zips) for name in ("launcher", "sweeper")}
    return Packages(
        bundles=bundles,
        functions=functions,
        agent_zip=build_agent_zip(PACKAGE, folder.cache / "agents"),
        user_data=build_user_data(PACKAGE),
    )


def build_user_data(package_root: Path) -> str:
    """Return the servers' user data as base64. `package_root` is the folder of the package dayfly."""
    boothook = (package_root / "remote" / "boot" / "boothook.sh").read_text(encoding="utf-8")
    return base64.b64encode(user_data.build(boothook, read_boot_sources(package_root))).decode()


def target_of(job: Job, found: FoundImage | None) -> Target | None:
    """Return the platform to choose the job's wheels for; None if it is unknown.

    An image may name what its servers really run; otherwise it is that of the stock image.
    """
    if found is not None and found.runs_machine and found.runs_python:
        return local_target(found.runs_machine, found.runs_python)
    return image_target(job.image, job.architecture)


def _bundle(folder: Folder, job: Job, found: FoundImage, say: Say) -> Bundle | None:
    target, python = target_of(job, found), job.python
    if target is None:
        _refuse_unknown_python(folder, job)
        target, python = Target(machine="x86_64", python="3.13"), "none"
    return build_job_bundle(
        folder.path, job.bundle, python, target, folder.cache / "bundles", job=job.name, cache=folder.cache, say=say
    )


def _refuse_unknown_python(folder: Folder, job: Job) -> None:
    has_dependencies = any((folder.path / name).is_file() for name in _DEPENDENCIES)
    if job.python != "none" and has_dependencies:
        raise FileError(
            f"jobs.{job.name}.image: dayfly does not know which Python {job.image} has, so it cannot choose wheels",
            hint='python = "none", with the dependencies in the image; or image = "debian-13"',
        )
