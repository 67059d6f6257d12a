"""A list of packages as `conda env` files have it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Self

from calotype import errors, files
from calotype.webservice import unsupported
from calotype.webservice.exceptions import told_as

_DEFAULT_CHANNEL: Final = "conda-forge"
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_NAME_AT: Final = re.compile(r"(?P<name>[\w.-]+)\s*(\[[^\]]*\])?\s*@")  # `name @ address`
_EGG: Final = re.compile(r"[#&]egg=(?P<name>[\w.-]+)")
# What the retired product needed inside its containers.
_NEEDED_NO_MORE: Final = ("azureml-", "azure-ml-api-sdk")
_ARCHIVES: Final = (".whl", ".zip", ".tar.gz", ".tar.bz2")


class CondaDependencies:
    """Packages of conda and of pip, and the version of Python.

    Args:
        conda_dependencies_file_path: a file to read.

    Raises:
        WebserviceException: it cannot be read.
    """

    def __init__(self, conda_dependencies_file_path: str | Path | None = None) -> None:
        self.python_version: str = ""
        self.conda_channels: list[str] = []
        self._conda: list[str] = []
        self._pip: list[str] = []
        self._pip_options: list[str] = []
        if conda_dependencies_file_path is not None:
            with told_as():
                self._read(Path(conda_dependencies_file_path))

    @classmethod
    def create(
        cls,
        pip_indexurl: str | None = None,
        pip_packages: Iterable[str] | None = None,
        conda_packages: Iterable[str] | None = None,
        python_version: str | None = None,
        pin_sdk_version: bool = True,
    ) -> Self:
        """Return a list of these packages.

        Args:
            pip_indexurl: where pip looks first.
            pip_packages: as in a requirements file.
            conda_packages: such as `numpy=2.1`.
            python_version: such as 3.11.
            pin_sdk_version: has no meaning here.
        """
        unsupported.ignore_given(pin_sdk_version=None if pin_sdk_version else pin_sdk_version)
        made = cls()
        if pip_indexurl:
            made.set_pip_option(f"--index-url {pip_indexurl}")
        for package in pip_packages or ():
            made.add_pip_package(package)
        for package in conda_packages or ():
            made.add_conda_package(package)
        if python_version:
            made.set_python_version(python_version)
        return made

    @property
    def pip_packages(self) -> list[str]:
        """Lines of a requirements file."""
        return list(self._pip)

    @property
    def conda_packages(self) -> list[str]:
        """Packages of conda, without Python itself and pip."""
        return list(self._conda)

    @property
    def pip_options(self) -> list[str]:
        """Options of pip, such as --extra-index-url."""
        return list(self._pip_options)

    def add_pip_package(self, pip_package: str) -> None:
        """Add a package of pip, in place of another version of it."""
        self.remove_pip_package(pip_package)
        self._pip.append(pip_package.strip())

    def remove_pip_package(self, pip_package: str) -> None:
        """Take a package of pip away."""
        name = package_name(pip_package)
        self._pip = [line for line in self._pip if package_name(line) != name]

    def add_conda_package(self, conda_package: str) -> None:
        """Add a package of conda, in place of another version of it.

        Python's is `set_python_version`, and that of pip means nothing here.
        """
        name = package_name(conda_package)
        if name == "python":
            self.set_python_version(conda_package.strip()[len("python") :].strip(" =<>~"))
        if name in ("python", "pip"):
            return
        self.remove_conda_package(conda_package)
        self._conda.append(conda_package.strip())

    def remove_conda_package(self, conda_package: str) -> None:
        """Take a package of conda away."""
        name = package_name(conda_package)
        self._conda = [line for line in self._conda if package_name(line) != name]

    def add_channel(self, channel: str) -> None:
        """Add a channel of conda."""
        if channel not in self.conda_channels:
            self.conda_channels.append(channel)

    def set_pip_option(self, pip_option: str) -> None:
        """Add an option of pip."""
        self._pip_options.append(pip_option)

    def set_python_version(self, version: str) -> None:
        """Say which Python is wanted."""
        self.python_version = str(version)

    def to_document(self) -> dict[str, Any]:
        """Return this as the file has it."""
        python = f"python={self.python_version}" if self.python_version else "python"
        pip = [{"pip": [*self._pip_options, *self._pip]}] if self._pip or self._pip_options else []
        return {
            "name": "project_environment",
            "dependencies": [python, *self._conda, *pip],
            "channels": self.conda_channels or [_DEFAULT_CHANNEL],
        }

    def serialize_to_string(self) -> str:
        """Return the text of the file."""
        import yaml

        return yaml.safe_dump(self.to_document(), sort_keys=False)

    def save(self, path: str | Path | None = None) -> str:
        """Write a file, or `conda_dependencies.yml` into a folder, and return its path."""
        target = Path(path or ".")
        if target.is_dir():
            target /= "conda_dependencies.yml"
        with told_as():
            files.write_text(target, self.serialize_to_string())
        return str(target)

    def save_to_file(
        self, base_directory: str | Path, conda_file_path: str | Path | None = None
    ) -> str:
        """Write a file below a folder and return its path."""
        return self.save(Path(base_directory) / (conda_file_path or "conda_dependencies.yml"))

    def _read(self, path: Path) -> None:
        import yaml

        try:
            said = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise errors.UnreadableFile(
                "expected a conda file", where=str(path), got=error.strerror or "an I/O error"
            ) from error
        except (ValueError, yaml.YAMLError) as error:
            raise errors.UnparsableFile(
                "expected YAML text", where=str(path), got=str(error)
            ) from error
        if not isinstance(said, dict):
            raise errors.UnparsableFile(
                "expected a conda file with 'dependencies'", where=str(path), got="other text"
            )
        document: dict[str, Any] = said
        if problems := list(_problems(document)):
            raise errors.UnparsableFile(
                "expected a conda file without faults", where=str(path), got="; ".join(problems)
            )
        self.conda_channels = list(document.get("channels") or ())
        for entry in document.get("dependencies") or ():
            self._take(entry)

    def _take(self, entry: str | dict[str, list[str] | None]) -> None:
        if isinstance(entry, str):
            self.add_conda_package(entry)
            return
        for line in entry["pip"] or ():
            text = line.strip()
            add = self.set_pip_option if text.startswith("-") else self.add_pip_package
            add(text)


def _problems(document: dict[str, Any]) -> Iterator[str]:
    """Yield what of a conda file is not as it should be."""
    for key in ("channels", "dependencies"):
        said = document.get(key) or []
        if not isinstance(said, list):
            yield f"'{key}': expected a list, got {said!r}"
            continue
        for number, entry in enumerate(said, 1):
            if key == "dependencies" and isinstance(entry, dict):
                yield from _pip_problems(number, entry)
            elif not isinstance(entry, str):
                yield f"'{key}', entry {number}: expected text, got {entry!r}"


def _pip_problems(number: int, entry: dict[Any, Any]) -> Iterator[str]:
    where = f"'dependencies', entry {number}"
    if set(entry) != {"pip"}:
        yield f"{where}: expected a package, or 'pip' with a list of them, got {entry!r}"
        return
    lines: Any = entry["pip"] or []
    if not isinstance(lines, list):
        yield f"{where}, 'pip': expected a list, got {lines!r}"
        return
    for place, line in enumerate(lines, 1):
        if not isinstance(line, str):
            yield f"{where}, 'pip', line {place}: expected text, got {line!r}"


def package_name(requirement: str) -> str:
    """Return the name in a line about a package of pip or conda, in its normal form.

    Of an address that does not say what is there, it is the address; see `says_name`.

    >>> package_name("conda-forge::Scikit_Learn>=1.5"), package_name("a[b]==1; os_name == 'nt'")
    ('scikit-learn', 'a')
    >>> package_name("git+ssh://git@host/x.git#egg=My_Code"), package_name("./b-1-py3-any.whl")
    ('my-code', 'b')
    """
    plain = requirement.strip().rpartition("::")[2]
    named = _EGG.search(plain) or _NAME_AT.match(plain)
    address = plain.partition(";")[0].strip()
    if named is not None:
        name = named["name"]
    elif "/" in address or address.endswith(_ARCHIVES):
        file = address.partition("#")[0].partition("?")[0].rpartition("/")[2]
        if not file.endswith(".whl") or "-" not in file:
            return address
        name = file.partition("-")[0]
    else:
        name = re.split(r"[\s\[=<>!~;]", plain, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def says_name(requirement: str) -> bool:
    """Return whether a line says which package it is about.

    >>> says_name("numpy>=1"), says_name("git+https://host/numpy.git"), says_name("./code")
    (True, False, False)
    """
    return _NAME.fullmatch(package_name(requirement)) is not None


def is_needed_no_more(requirement: str) -> bool:
    """Return whether a line is about a part of the retired SDK; Calotype has what scripts need.

    >>> is_needed_no_more("AzureML_Core==1.0"), is_needed_no_more("azure-core")
    (True, False)
    """
    return package_name(requirement).startswith(_NEEDED_NO_MORE)
