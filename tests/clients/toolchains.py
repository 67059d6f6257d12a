"""Compilers and interpreters of the languages that clients are written in."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

JAVA_JARS = ("fluent-hc", "httpclient", "httpcore", "commons-logging", "json-simple")
JAVA_CLASS_PATH = ":".join(f"/usr/share/java/{jar}.jar" for jar in JAVA_JARS)
NEWTONSOFT = "/usr/lib/cli/Newtonsoft.Json-5.0/Newtonsoft.Json.dll"

PACKAGES = {
    "mcs": "mono-mcs",
    "mono": "mono-runtime",
    "/usr/lib/mono/4.5/System.Net.Http.dll": "libmono-system-net-http4.0-cil",
    NEWTONSOFT: "libnewtonsoft-json5.0-cil",
    "go": "golang-go",
    "javac": "default-jdk-headless",
    "/usr/share/java/fluent-hc.jar": "libhttpclient-java",
    "/usr/share/java/json-simple.jar": "libjson-simple-java",
    "node": "nodejs",
    "curl": "curl",
}
"""The Debian package that brings a program or a file."""


@dataclass(frozen=True)
class Toolchain:
    """How the sources of one language become a command.

    Attributes:
        needs: programs and files that have to be there.
        build: compiles a source file, and returns the command that runs it.
    """

    needs: Sequence[str]
    build: Callable[[Path], list[str]]


def build(language: str, source: str, file: Path) -> list[str]:
    """Write a source to a file, compile it, and return the command that runs it."""
    toolchain = TOOLCHAINS[language]
    missing = [one for one in toolchain.needs if not (shutil.which(one) or Path(one).exists())]
    if missing:
        packages = " ".join(PACKAGES[one] for one in missing)
        say = pytest.fail if toolchains_are_required() else pytest.skip
        say(f"{', '.join(missing)} not found: apt-get install {packages}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")
    return toolchain.build(file)


def run(
    command: Sequence[str],
    *arguments: str,
    variables: Mapping[str, str] | None = None,
    before: Callable[[], None] = lambda: None,
) -> subprocess.CompletedProcess[str]:
    """Run a client in an environment of its own and wait for it.

    Mono 6.8 loses a race with its own threads for I/O once in some fifty times as it ends: it
    aborts or hangs, after our code has run. Then, and only then, the client runs again, up to four
    times in all.

    Args:
        command: of `build`.
        arguments: of the client.
        variables: of its environment.
        before: brings what the client calls into its first state.
    """
    attempts = 4 if command[0] == "mono" else 1
    for attempt in range(1, attempts + 1):
        before()
        try:
            done = _run(
                [*command, *arguments], variables or {}, timeout_s=40 if attempts > 1 else 120
            )
        except subprocess.TimeoutExpired:
            if attempt == attempts:
                raise
            continue
        if done.returncode != -signal.SIGABRT or attempt == attempts:
            return done
    raise AssertionError("the last attempt returns or raises")


def _run(
    command: list[str], variables: Mapping[str, str], *, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:  # mono writes down there why it crashed
        return subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=timeout_s,
            cwd=folder,
            env=environment(**variables),
        )


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of a client: no proxies, no key but the one that is given."""
    # Without the last one, mono's own report of a crash takes a minute.
    fixed = {"LC_ALL": "C.UTF-8", "MONO_DEBUG": "no-gdb-backtrace"}
    return {"PATH": os.environ["PATH"], **fixed, **variables}


def toolchains_are_required() -> bool:
    """Whether a test fails, rather than being skipped, without its compiler."""
    # .ci/run says "optional" where it may not install what is missing.
    wanted = os.environ.get("CALOTYPE_TOOLCHAINS", "required" if os.environ.get("CI") else "")
    return wanted == "required"


def _compile(command: Sequence[str], **variables: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _csharp(file: Path) -> list[str]:
    program = str(file.with_suffix(".exe"))
    references = ("-r:System.Net.Http.dll", f"-r:{NEWTONSOFT}")
    _compile(["mcs", f"-out:{program}", *references, str(file)])
    shutil.copy(NEWTONSOFT, file.parent)  # where mono looks for it
    return ["mono", program]


def _go(file: Path) -> list[str]:
    program = str(file.with_suffix(""))
    # One cache for all builds of a run; nothing is looked for elsewhere.
    cache = str(file.parents[1] / "go-cache")
    _compile(
        ["go", "build", "-o", program, str(file)],
        GOCACHE=cache,
        GO111MODULE="off",
        GOTOOLCHAIN="local",
        GOFLAGS="",
    )
    return [program]


def _java(file: Path) -> list[str]:
    _compile(["javac", "-encoding", "UTF-8", "-cp", JAVA_CLASS_PATH, str(file)])
    quick = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
    return ["java", *quick, "-cp", f"{JAVA_CLASS_PATH}:{file.parent}", file.stem]


TOOLCHAINS: Mapping[str, Toolchain] = {
    "python": Toolchain((), lambda file: [sys.executable, str(file)]),
    "csharp": Toolchain(
        ("mcs", "mono", "/usr/lib/mono/4.5/System.Net.Http.dll", NEWTONSOFT), _csharp
    ),
    "go": Toolchain(("go",), _go),
    "java": Toolchain(
        ("javac", "/usr/share/java/fluent-hc.jar", "/usr/share/java/json-simple.jar"), _java
    ),
    "javascript": Toolchain(("node",), lambda file: ["node", str(file)]),
    "curl": Toolchain(("curl",), lambda file: ["bash", str(file)]),
}
