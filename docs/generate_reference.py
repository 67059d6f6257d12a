"""Write the pages of docs/reference that are made of the code: commands, Python names.

python docs/generate_reference.py          write them
python docs/generate_reference.py --check  say which are out of date; exit code 1 when one is
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

import calotype
from calotype.cli.main import program
from calotype.webservice.unsupported import UNSUPPORTED

HERE = Path(__file__).parent / "reference"
_SHARED = {"--help", "--output", "--quiet", "--verbose"}
_MADE = "<!-- Made by docs/generate_reference.py: change the code, not this page. -->"


def commands() -> str:
    """Return the page of all commands."""
    root = click.Context(program, info_name="calotype", terminal_width=1000, max_content_width=1000)
    pages = [
        "# Commands",
        _MADE,
        "Every command takes `-o table|json`, `-q`, `-v` and `--help`; those that use a workspace "
        "take `-w DIR`. Results go to stdout, progress and errors to stderr. Exit codes: 0 done, "
        "1 failed, 2 wrong usage, 130 interrupted.",
    ]
    return "\n\n".join([*pages, *_sections(program, root)]) + "\n"


def _sections(group: click.Command, context: click.Context) -> Iterator[str]:
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if found is None or found.hidden:
            continue
        below = click.Context(found, info_name=name, parent=context)
        if isinstance(found, click.Group):
            yield from _sections(found, below)
        else:
            yield _command(found, below)


def _command(command: click.Command, context: click.Context) -> str:
    arguments = [
        parameter.make_metavar(context)
        for parameter in command.params
        if isinstance(parameter, click.Argument)
    ]
    title = " ".join([context.command_path, *arguments])
    parts = [f"## `{title}`", inspect.cleandoc(command.help or "").replace("\b", "").strip()]
    records = [
        record
        for parameter in command.params
        if isinstance(parameter, click.Option) and not _SHARED & set(parameter.opts)
        if (record := parameter.get_help_record(context)) is not None
    ]
    if records:
        rows = [f"| `{flag}` | {_cell(text)} |" for flag, text in records]
        parts.append("\n".join(["| option | meaning |", "|---|---|", *rows]))
    examples = re.findall(r"^  (\S.*)$", command.epilog or "", re.MULTILINE)
    if examples:
        parts.append("\n".join(["```sh", *examples, "```"]))
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def python() -> str:
    """Return the page of all public Python names."""
    pages = [
        "# Python",
        _MADE,
        "What `calotype` exports. Everything else may change.",
    ]
    return "\n\n".join([*pages, *(_name(name) for name in calotype.__all__)]) + "\n"


def _name(name: str) -> str:
    found = getattr(calotype, name)
    assert inspect.isclass(found), name
    parts = [f"## `{name}`", _documented(found)]
    members = [
        (member, value)
        for member, value in inspect.getmembers_static(found)
        if not member.startswith("_") and _is_ours(found, member, value)
    ]
    rows = [f"| `{_signature(member, value)}` | {_summary(value)} |" for member, value in members]
    if rows:
        parts.append("\n".join(["| member | what |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _is_ours(owner: type, member: str, value: object) -> bool:
    is_member = isinstance(value, property | classmethod | staticmethod) or inspect.isfunction(
        value
    )
    return is_member and any(member in vars(one) for one in owner.__mro__[:-1])


def _signature(member: str, value: object) -> str:
    function = getattr(value, "__func__", value)
    if not inspect.isfunction(function):
        return member
    parameters = [
        _parameter(one)
        for one in inspect.signature(function).parameters.values()
        if one.name not in ("self", "cls")
    ]
    return f"{member}({', '.join(parameters)})"


def _parameter(one: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    name = stars.get(one.kind, "") + one.name
    if one.default is inspect.Parameter.empty:
        return name
    return f"{name}={re.sub(r' object at 0x[0-9a-f]+', '', repr(one.default))}"


def _summary(value: object) -> str:
    text = inspect.getdoc(getattr(value, "__func__", value)) or ""
    return _cell(text.split("\n\n")[0]).replace("``", "`")


def _documented(owner: type) -> str:
    text = (inspect.getdoc(owner) or "").strip()
    body = re.split(r"\n(?=(?:Args|Attributes|Raises|Returns|Yields):\n)", text)[0].strip()
    return body


def not_here() -> str:
    """Return the page of what the retired SDK had and Calotype has not."""
    rows = [
        f"| `{one.name}` | {one.answer} | {_cell(one.why)} | {_cell(one.instead)} |"
        for one in UNSUPPORTED.values()
    ]
    text = (
        "Parameters, methods and classes of the retired SDK that are about the cloud. With "
        "`warning` they are accepted and change nothing (`NoMeaningHere`); with `error` they are "
        "refused (2006)."
    )
    heading = ["| name | answer | because | instead |", "|---|---|---|---|"]
    return (
        "\n\n".join(["# What has no meaning here", _MADE, text, "\n".join(heading + rows)]) + "\n"
    )


def pages() -> dict[Path, str]:
    """Return the content of each page that is made."""
    importlib.invalidate_caches()
    return {
        HERE / "commands.md": commands(),
        HERE / "python.md": python(),
        HERE / "not-here.md": not_here(),
    }


def main() -> None:
    """Write the pages, or check them."""
    outdated = [path for path, text in pages().items() if _read(path) != text]
    if "--check" in sys.argv:
        for path in outdated:
            sys.stdout.write(f"{path} is out of date: run python docs/generate_reference.py\n")
        sys.exit(1 if outdated else 0)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    main()
