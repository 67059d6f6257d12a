"""Runs the steps of a Dockerfile without docker, in a clean environment without network.

The environment is a fresh venv. What Calotype depends on is linked into it from the interpreter
that runs the tests, so that pip finds every dependency in place; Calotype itself it has to install,
from a wheel of this source tree.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import venv
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from calotype import __version__

_SOURCES = Path(__file__).parents[2] / "src"


def wheel(folder: Path) -> Path:
    """Write a wheel of this source tree, as `pip wheel` would."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"calotype-{__version__}-py3-none-any.whl"
    about = f"calotype-{__version__}.dist-info"
    installed = importlib.metadata.distribution("calotype")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted((_SOURCES / "calotype").rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(_SOURCES))
        metadata = installed.read_text("METADATA") or ""
        archive.writestr(f"{about}/METADATA", metadata)
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            f"{about}/entry_points.txt", "[console_scripts]\ncalotype = calotype.cli.main:main\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return path


@dataclass(slots=True)
class Container:
    """What the steps have made.

    Attributes:
        root: stands for `/`.
        steps: instruction and rest of each line.
    """

    root: Path
    steps: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    variables: dict[str, str] = field(default_factory=dict[str, str])
    folder: Path = Path()

    def build(self, package: Path) -> None:
        """Do all steps but those that need a container: its base image and its user."""
        self._make_environment()
        for line in (package / "Dockerfile").read_text().splitlines():
            instruction, _, rest = line.partition(" ")
            self.steps.append((instruction, rest))
            match instruction:
                case "WORKDIR":
                    self.folder = self.root / rest.strip("/")
                    self.folder.mkdir(parents=True)
                case "COPY":
                    self._copy(package, *shlex.split(rest))
                case "#":
                    pass
                case "ENV":
                    name, _, value = rest.partition("=")
                    plain: str = json.loads(value.replace("\\$", "$"))
                    self.variables[name] = plain.replace("/tmp", str(self.root))  # noqa: S108
                case "RUN" if rest.startswith("pip "):
                    self.run(rest)
                case _:
                    assert instruction in ("FROM", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "CMD")

    def said(self, instruction: str) -> str:
        """Return the rest of the last line with an instruction."""
        return [rest for name, rest in self.steps if name == instruction][-1]

    def command(self, port: int) -> list[str]:
        """Return the start command, on another port than the one that all tests would share."""
        return [re.sub(r"^5001$", str(port), word) for word in json.loads(self.said("CMD"))]

    def health(self, port: int) -> list[str]:
        """Return the command that checks the health."""
        words: list[str] = json.loads(self.said("HEALTHCHECK").partition("CMD ")[2])
        return [word.replace(":5001/", f":{port}/") for word in words]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of processes: nothing of ours but what finds programs."""
        path = os.pathsep.join([str(self.root / "venv/bin"), "/usr/bin", "/bin"])
        return {"PATH": path, "PIP_NO_INDEX": "1", "HOME": str(self.root), **self.variables}

    def run(self, command: str) -> None:
        """Run a step in the folder of the image."""
        done = subprocess.run(
            command,
            shell=True,
            check=False,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _copy(self, package: Path, source: str, target: str) -> None:
        if source.endswith("/"):
            shutil.copytree(package / source, self.folder / target)
        else:
            shutil.copy(package / source, self.folder / target)

    def _make_environment(self) -> None:
        home = self.root / "venv"
        venv.create(home, with_pip=False)
        site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if "calotype" not in entry.name and entry.suffix != ".pth":
                (site / entry.name).symlink_to(entry)
        pip = home / "bin/pip"
        pip.write_text(f'#!/bin/sh\nexec "{home}/bin/python" -m pip "$@"\n')
        pip.chmod(0o755)
