"""`calotype service list|show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from calotype.cli.completion import complete_models
from calotype.cli.deploy_options import Target
from calotype.cli.service_option import management, name_option
from calotype.cli.terminal import Terminal, command, examples, facts, moment, table
from calotype.cli.workspace_option import current_workspace, workspace_option
from calotype.workspace.machine import shown

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.hosting.keeping import Observation
    from calotype.workspace.services import Service


@command(
    name="list",
    epilog=examples(
        "calotype service list",
        "calotype service list --model flowers --compute cluster",
        "calotype service list --tag team=garden --tag stage -o json",
    ),
)
@workspace_option
@click.option("--model", shell_complete=complete_models, help="That run this NAME[:VERSION].")
@click.option("--tag", multiple=True, metavar="NAME[=VALUE]", help="With this tag; repeatable.")
@click.option(
    "--property", "property_", multiple=True, metavar="NAME[=VALUE]", help="With this property."
)
@click.option("--compute", type=Target(), help="On this target.")
def list_(
    terminal: Terminal,
    model: str | None,
    tag: tuple[str, ...],
    property_: tuple[str, ...],
    compute: str | None,
) -> None:
    """List the services of the workspace; all filters have to fit."""
    found = [
        service
        for service in current_workspace().services.list()
        if (compute is None or service.target == compute)
        and _runs(service, model)
        and _has_all(service.tags, tag)
        and _has_all(service.properties, property_)
    ]
    documents = [document_of(service, observed(service)) for service in found]

    def render(console: Console) -> None:
        if not documents:
            console.print("No services." if not (model or tag or property_ or compute) else "None.")
            return
        rows = [
            (
                one["name"],
                one["target"],
                one["state"],
                "\n".join(one["models"]),
                one["auth"],
                one["scoring_uri"],
            )
            for one in documents
        ]
        columns = ["name", "target", "state", "models", "auth", "scoring URI"]
        table(console, columns, rows, address="scoring URI", less=("auth", "target"))

    terminal.show(documents, render)


def _runs(service: Service, model: str | None) -> bool:
    return model is None or any(model in (used, used.rpartition(":")[0]) for used in service.models)


def _has_all(values: dict[str, str], wanted: tuple[str, ...]) -> bool:
    for text in wanted:
        name, separator, value = text.partition("=")
        if name not in values or (separator and values[name] != value):
            return False
    return True


@command(
    epilog=examples(
        "calotype service show -n flowers",
        "calotype service show -n flowers -o json",
    )
)
@name_option
def show(terminal: Terminal, name: str) -> None:
    """Show a service: both URIs, state, models, versions and replicas."""
    service = current_workspace().services.get(name)
    show_service(terminal, service, observed(service))


def show_service(terminal: Terminal, service: Service, observation: Observation | None) -> None:
    """Print all about one service."""
    document = document_of(service, observation)
    terminal.show(document, lambda console: _render(console, document))


def observed(service: Service) -> Observation | None:
    """Return how a service is; None for one without processes."""
    return None if service.target == "batch" else management().observe(service.name)


def document_of(service: Service, observation: Observation | None) -> dict[str, Any]:
    """Return all about one service, as JSON has it; no secrets."""
    now = _effective_percents(service, observation)
    return {
        "name": service.name,
        "target": service.target,
        "state": observation.state if observation else service.state,
        "error": observation.error if observation else service.error,
        "scoring_uri": (observation.scoring_uri or "") if observation else "",
        "swagger_uri": (observation.swagger_uri or "") if observation else "",
        "auth": service.access.auth,
        "models": list(service.models),
        "description": service.description,
        "tags": service.tags,
        "properties": service.properties,
        "created_by": service.created_by,
        "created_at": service.created_at.isoformat(),
        "updated_at": service.updated_at.isoformat(),
        "host": shown(service.host),
        "is_endpoint": service.is_endpoint,
        "versions": [
            {
                **_version(service, one.name, observation),
                "effective_percent": now.get(one.name),
            }
            for one in service.versions
        ],
        "replicas": _replicas(observation),
    }


def _version(service: Service, name: str, observation: Observation | None) -> dict[str, Any]:
    record = service.version(name)
    seen = observation.versions.get(name) if observation else None
    wanted = record.wanted
    return {
        "name": name,
        "state": seen.state if seen else record.state,
        "error": seen.error if seen else record.error,
        "traffic_percent": record.traffic_percent,
        "mirror_percent": record.mirror_percent,
        "is_default": record.is_default,
        "is_control": record.is_control,
        "wanted_revision": record.wanted_revision,
        "serving_revision": seen.serving_revision if seen else record.serving_revision,
        "models": list(wanted.models),
        "entry_script": wanted.inference.entry_script,
        "runtime": wanted.runtime.model_dump(mode="json"),
        "rollout": record.rollout,
    }


def _effective_percents(service: Service, observation: Observation | None) -> dict[str, int]:
    """Return what the versions answer now of the requests for none of them; {} when none does."""
    seen = observation.versions if observation is not None else {}
    ready = [one.name for one in service.versions if one.name in seen and seen[one.name].replicas]
    if not ready:
        return {}
    from calotype.hosting.routes import VersionRoute
    from calotype.hosting.traffic import effective_percents

    routes = {
        one.name: VersionRoute({}, one.traffic_percent, is_default=one.is_default)
        for one in service.versions
    }
    return {name: round(part) for name, part in effective_percents(routes, ready).items()}


def _replicas(observation: Observation | None) -> list[dict[str, Any]]:
    names = ("replica", "version", "revision", "pid", "state", "memory_bytes", "port", "in_flight")
    replicas = observation.replicas if observation else []
    return [{name: getattr(one, name) for name in names} for one in replicas]


def _render(console: Console, document: dict[str, Any]) -> None:
    rows: list[tuple[str, object]] = [
        ("name", document["name"]),
        ("target", document["target"]),
        ("state", document["state"]),
        *([("error", document["error"]["message"])] if document["error"] else []),
        ("scoring URI", document["scoring_uri"] or "none"),
        ("swagger URI", document["swagger_uri"] or "none"),
        ("auth", document["auth"]),
        ("models", ", ".join(document["models"]) or "none"),
        *([("description", document["description"])] if document["description"] else []),
        *((key, _pairs(document[key])) for key in ("tags", "properties") if document[key]),
        ("created", f"{moment(document['created_at'])} by {document['created_by']}"),
        ("updated", moment(document["updated_at"])),
    ]
    facts(console, rows)
    render_versions(console, document)
    if document["replicas"]:
        cells = [
            (
                one["replica"],
                one["version"],
                one["revision"],
                one["state"],
                one["pid"] or "",
                f"{(one['memory_bytes'] or 0) / 1e6:.0f} MB",
                one["in_flight"] if one["in_flight"] is not None else "",
            )
            for one in document["replicas"]
        ]
        columns = ["replica", "version", "revision", "state", "pid", "memory", "in flight"]
        table(console, columns, cells, less=("in flight", "pid", "revision", "version"))


def render_versions(console: Console, document: dict[str, Any], *, always: bool = False) -> None:
    """Draw the versions of a service, when they tell more than the service itself does."""
    versions = document["versions"]
    if len(versions) < 2 and not always and not any(_is_news(document, one) for one in versions):
        return
    rows = [
        (
            f"{one['name']}{' (default)' if one['is_default'] else ''}",
            one["state"],
            _traffic(one, is_shared=len(versions) > 1),
            _revisions(one),
            "\n".join(one["models"]),
        )
        for one in versions
    ]
    table(console, ["version", "state", "traffic", "revision", "models"], rows)
    news = [(one["name"], line) for one in versions if (line := _news(one))]
    if news:  # below, where a sentence has room
        facts(console, news)


def _traffic(version: dict[str, Any], *, is_shared: bool) -> str:
    """Return a version's share, and what it gets now when replicas are missing."""
    percent, effective = version["traffic_percent"], version["effective_percent"]
    now = f" (now {effective} %)" if is_shared and effective not in (None, percent) else ""
    mirrored = f" + {version['mirror_percent']} % mirrored" if version["mirror_percent"] else ""
    return f"{percent} %{now}{mirrored}"


def _is_news(document: dict[str, Any], version: dict[str, Any]) -> bool:
    """Whether a version has trouble that the service itself does not tell of."""
    told = (document["error"] or {}).get("message")
    is_changing = version["serving_revision"] not in (None, version["wanted_revision"])
    return is_changing or bool(version["error"] and version["error"]["message"] != told)


def _revisions(version: dict[str, Any]) -> str:
    serving, wanted = version["serving_revision"], version["wanted_revision"]
    return str(serving) if serving == wanted else f"{serving or 'none'}, {wanted} is wanted"


def _news(version: dict[str, Any]) -> str:
    """Return why a version is not what it should be, or how far its roll-out is."""
    if version["error"]:
        return str(version["error"]["message"])
    rollout = version["rollout"]
    if not rollout:
        return ""
    return ". ".join(filter(None, [f"Roll-out: {rollout['state']}", rollout["reason"]]))


def _pairs(values: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
