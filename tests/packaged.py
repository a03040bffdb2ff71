"""The deployment package, unpacked, and an environment that has what Azure would have: no more.

That is requirements.txt, the engine that the platform brings, and what our host needs beside it.
"""

import re
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from local.bootstrap import ROOT
from local.host.process import RunningApp, Runtime, running_app
from local.package import build
from tests.environments import environment

ENGINE = "azure-functions-runtime"
AIOHTTP = ("aiohttp", "aiohappyeyeballs", "aiosignal", "attrs", "frozenlist", "multidict", "propcache")


@dataclass(frozen=True)
class Package:
    """The app as it is deployed: the directory it was unpacked to, and what it runs on."""

    directory: Path
    runtime: Runtime

    def serve(self, settings: Mapping[str, str]) -> AbstractContextManager[RunningApp]:
        """Serve it with these settings."""
        return running_app(self.directory, settings=settings, runtime=self.runtime)


def unpacked(folder: Path) -> Package:
    """Build the package and unpack it below `folder`."""
    directory = folder / "wwwroot"
    with zipfile.ZipFile(build(folder / "app.zip")) as archive:
        archive.extractall(directory)
    requirements = folder / "requirements.txt"
    requirements.write_text((directory / "requirements.txt").read_text() + "".join(_pins_of_the_host()))
    # The host alone: beside it the repository's own modules would stand in for those that the package lacks.
    host = folder / "host"
    host.mkdir()
    (host / "local").symlink_to(ROOT / "local")
    return Package(directory, Runtime(environment("app", requirements), host))


def _pins_of_the_host() -> list[str]:
    pins = re.findall(r"(?m)^(\S+?)==(\S+)", (ROOT / "requirements-dev.txt").read_text())
    return [f"{name}=={version}\n" for name, version in pins if name in (ENGINE, *AIOHTTP, "yarl")]
