"""The text files of a package: Dockerfile, requirements, start command, README."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from calotype import __version__
from calotype.webservice.conda_dependencies import is_needed_no_more
from calotype.workspace.environments import EnvironmentDefinition

PORT: Final = 5001
BASE_IMAGE: Final = "python:3.11-slim"
HOME: Final = "/service"
USER: Final = "calotype"
REQUIREMENTS: Final = "requirements.txt"
WHEELS: Final = "wheels"
_OURS: Final = {"PYTHONUNBUFFERED": "1", "CALOTYPE_CACHE": f"/tmp/{USER}"}  # noqa: S108 - a container's
_GIVE_THEM: Final = "Set them where it runs: `docker run -e NAME` passes a variable on."
_HEALTH: Final = (
    f"import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/', timeout=3).read()"
)


@dataclass(frozen=True, slots=True)
class PackageContent:
    """What a package runs.

    Attributes:
        name: of the service.
        models: `name:version` of its models.
        folders: what it has beside the text files, such as `source`.
        serve: options of `calotype serve` that say what it serves.
        needs: extras of Calotype, such as "sklearn".
        environment: what the script asks for; None without a script.
        more_steps: further lines of the Dockerfile.
    """

    name: str
    models: tuple[str, ...]
    folders: tuple[str, ...]
    serve: tuple[str, ...]
    needs: tuple[str, ...] = ()
    environment: EnvironmentDefinition | None = None
    more_steps: str = ""

    @property
    def command(self) -> list[str]:
        """The start command."""
        address = ["--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104 - inside a container
        return ["calotype", "serve", *self.serve, "--name", self.name, *address]


def requirements(content: PackageContent) -> str:
    """Return the requirements file: Calotype in this version, and what the environment names."""
    extras = f"[{','.join(content.needs)}]" if content.needs else ""
    lines = [f"calotype{extras}=={__version__}"]
    if content.environment is not None:
        lines += [*content.environment.pip_options]
        named = content.environment.pip_requirements
        lines += [line for line in named if not is_needed_no_more(line)]
    return "".join(f"{line}\n" for line in lines)


def dockerfile(content: PackageContent) -> str:
    """Return the Dockerfile; every step of it can also be done without docker."""
    environment = content.environment
    lines = [*_base(environment), f"WORKDIR {HOME}"]
    if content.more_steps:
        lines.append(content.more_steps.rstrip("\n"))
    lines += [
        f"COPY {WHEELS}/ {WHEELS}/",
        f"COPY {REQUIREMENTS} .",
        f"RUN pip install --no-cache-dir --find-links={WHEELS} -r {REQUIREMENTS}",
        *(f"COPY {folder}/ {folder}/" for folder in content.folders),
        f"RUN useradd --system --home-dir {HOME} --no-create-home {USER}",
        f"USER {USER}",
        *(f'ENV {name}="{value}"' for name, value in _OURS.items()),
        *_left_out(content),
        f"EXPOSE {PORT}",
        "HEALTHCHECK --interval=10s --timeout=5s --start-period=300s "
        f"CMD {json.dumps(['python', '-c', _HEALTH])}",
        f"CMD {json.dumps(content.command)}",
    ]
    return "\n".join(lines) + "\n"


def readme(content: PackageContent) -> str:
    """Return how the package is run, with and without docker."""
    command = shlex.join(content.command)
    names = variable_names(content.environment)
    asked = f"Set {_listed(names)} before: no file here has their values.\n" if names else ""
    return f"""# {content.name}

Serves {", ".join(content.models) or "a script"} with Calotype {__version__} on port {PORT}.

With docker:

    docker build -t {content.name} .
    {run_command(content)}

Without docker, in a clean environment:

    pip install --find-links={WHEELS} -r {REQUIREMENTS}
    {command}

{asked}Everybody who reaches the port may call it. To ask for keys, add `--auth key` to the
command and pass CALOTYPE_PRIMARY_KEY and CALOTYPE_SECONDARY_KEY as environment variables
(docker run -e).
Wheels that are in no index, Calotype's own among them, belong into `{WHEELS}`.
"""


def variable_names(environment: EnvironmentDefinition | None) -> list[str]:
    """Return what the script has to find among its environment variables."""
    return sorted(environment.environment_variables) if environment is not None else []


def run_command(content: PackageContent) -> str:
    """Return how docker runs the image; variables come from where it is called."""
    variables = [word for name in variable_names(content.environment) for word in ("-e", name)]
    return shlex.join(["docker", "run", "-p", f"{PORT}:{PORT}", *variables, content.name])


def notes(environment: EnvironmentDefinition | None) -> list[str]:
    """Return what of an environment the package does not have."""
    if environment is None:
        return []
    found: list[str] = []
    if environment.conda_dependencies and not environment.dockerfile:
        names = ", ".join(environment.conda_dependencies)
        found.append(
            f"conda packages are not installed: {names}. Name them as pip packages, or give the "
            "environment a Dockerfile or an image that has them."
        )
    if names := variable_names(environment):
        found.append(
            f"the values of variables are not in it, as they may be secrets: {_listed(names)}. "
            f"{_GIVE_THEM}"
        )
    return found


def _base(environment: EnvironmentDefinition | None) -> list[str]:
    if environment is not None and environment.dockerfile:
        return [environment.dockerfile.rstrip("\n")]
    image = environment.base_image if environment is not None else ""
    if environment is not None and image and environment.docker_registry:
        image = f"{environment.docker_registry.rstrip('/')}/{image}"
    version = environment.python_version if environment is not None else ""
    if not image and version:
        image = f"python:{version}-slim"
    return [f"FROM {image or BASE_IMAGE}"]


def _left_out(content: PackageContent) -> list[str]:
    names = variable_names(content.environment)
    if not names:
        return []
    return [f"# Not in the image, as they may be secrets: {_listed(names)}. {_GIVE_THEM}"]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
