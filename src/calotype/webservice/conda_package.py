"""A package as conda names it, in the words of pip."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from calotype.webservice.conda_dependencies import package_name

PIP_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "dask-core": ("dask",),
    "matplotlib-base": ("matplotlib",),
    "msgpack-python": ("msgpack",),
    "opencv": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "py-opencv": ("opencv-python", "opencv-python-headless"),
    "py-xgboost": ("xgboost",),
    "pytables": ("tables",),
    "python-graphviz": ("graphviz",),
    "pytorch": ("torch",),
    "pytorch-cpu": ("torch",),
    "pytorch-gpu": ("torch",),
}
"""Normal name at conda: names at PyPI; any of them will do, and the first is installed."""

_NO_PYTHON: Final = (
    "-libgcc-mutex -openmp-mutex blas bzip2 c-compiler ca-certificates cmake compilers cpuonly "
    "cudatoolkit cudnn curl cxx-compiler ffmpeg gcc git gxx intel-openmp ld-impl-linux-64 libblas "
    "libcblas libffi libgcc libgcc-ng libgfortran-ng libgomp liblapack libopenblas libsqlite "
    "libstdcxx libstdcxx-ng llvm-openmp make mkl nccl ncurses nomkl openblas openssl pytorch-cuda "
    "pytorch-mutex readline sqlite tk xz zlib zstd"
)
NO_PYTHON: Final = frozenset(_NO_PYTHON.split())
"""What conda installs beside Python: nobody can say whether it is there."""

_OF_PYTHON: Final = ("cuda-bindings", "cuda-core", "cuda-python")  # all else of CUDA is not

_BRACKETS: Final = re.compile(r"\[(?P<inside>[^\]]*)\]")
_VERSION: Final = re.compile(r"""\bversion\s*=\s*["']?(?P<version>[^"'\]]+)""")
_NAMED: Final = re.compile(r"(?P<name>[\w.-]+)\s*(?P<rest>.*)")


def pip_line(package: str, *, installed: Collection[str] = ()) -> str | None:
    """Return what pip calls a package of conda; None for what is none of Python's.

    Builds are left out, and so are versions of which one or another will do (`1.2|1.4`).

    >>> pip_line("conda-forge::numpy=1.26=py311_0"), pip_line("pandas=2"), pip_line("scipy 1.14.*")
    ('numpy==1.26', 'pandas==2.*', 'scipy==1.14.*')
    >>> pip_line("pytorch>=2.1,<3"), pip_line("pillow[version='>=10', build=py_0]")
    ('torch>=2.1,<3', 'pillow>=10')

    Args:
        package: a line of `dependencies`.
        installed: normal names of the packages that are there.
    """
    plain = package.strip().rpartition("::")[2]
    said = _BRACKETS.search(plain)
    version = _VERSION.search(said["inside"]) if said else None
    found = _NAMED.match(_BRACKETS.sub("", plain))
    if found is None:
        return package
    own = package_name(found["name"])
    if own in NO_PYTHON or (own.startswith("cuda-") and own not in _OF_PYTHON):
        return None
    names = PIP_NAMES.get(own, (found["name"],))
    name = next((one for one in names if package_name(one) in installed), names[0])
    return name + (_among(version["version"]) if version else _specifier(found["rest"]))


def _specifier(text: str) -> str:
    """Return `=1.2`, `==1.2=build`, `1.2 build` or `>=1.2,<2 build` as pip has it."""
    words = text.split()
    while len(words) > 1 and (words[0][-1] in "<>=!~,|" or words[1][0] in ",|"):  # `>= 1 , <2`
        words[:2] = [words[0] + words[1]]
    if not words:
        return ""
    first = words[0]
    if exact := re.fullmatch(r"==?([^=]+)=[^=]+", first):  # with a build
        return _among(f"=={exact[1]}")
    return _among(first if first[0] in "<>=!~" else f"=={first}")


def _among(text: str) -> str:
    if "|" in text:
        return ""
    return ",".join(filter(None, (_one(part.strip()) for part in text.split(",") if part.strip())))


def _one(part: str) -> str:
    version = part.lstrip("<>=!~")
    operator, version = part[: len(part) - len(version)], version.strip()
    if version in ("", "*"):
        return ""
    start = version.rstrip("*").rstrip(".")
    if operator in ("<", "<=", ">", ">=", "~="):
        return f"{operator}{start}"
    if operator == "=" or version.endswith("*"):
        return f"{operator if operator == '!=' else '=='}{start}.*"
    return f"{operator or '=='}{version}"
