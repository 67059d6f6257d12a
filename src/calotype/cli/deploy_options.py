"""Options about how a service shall run: those of `model deploy`, `service update` and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from calotype.cli.completion import complete_models
from calotype.cli.options import PATH

Decorated = Callable[..., None]
_FILE: Final = click.Path(path_type=str)
_WORDS: Final = "list"

# Parameter of `webservice.deployment_parameters`, flags (the retired CLI's short ones among them),
# type, help. Defaults are the target's: what is not given stays out.
_RUNTIME: Final[Sequence[tuple[str, tuple[str, ...], Any, str]]] = (
    ("cpu_cores", ("--cc", "--cpu-cores"), float, "Cores that a replica gets."),
    ("cpu_cores_limit", ("--ccl", "--cpu-cores-limit"), float, "Cores that it may use at most."),
    ("memory_gb", ("--gb", "--memory-gb"), float, "Memory that a replica gets."),
    ("memory_gb_limit", ("--gbl", "--memory-gb-limit"), float, "With more it is started anew."),
    ("gpu_cores", ("--gc", "--gpu-cores"), int, "GPUs that a replica gets."),
    ("workers", ("--workers",), int, "Processes that run an entry script, in each replica."),
    ("precision", ("--precision",), click.Choice(["auto", "fp32", "bf16", "int8"]), "Of images."),
    ("num_replicas", ("--nr", "--num-replicas"), int, "A fixed number; excludes autoscale."),
    ("autoscale_enabled", ("--as", "--autoscale-enabled"), bool, "Replicas follow the load."),
    ("autoscale_min_replicas", ("--ami", "--autoscale-min-replicas"), int, "At least."),
    ("autoscale_max_replicas", ("--ama", "--autoscale-max-replicas"), int, "At most."),
    ("autoscale_refresh_seconds", ("--ar", "--autoscale-refresh-seconds"), float, "Looked at."),
    (
        "autoscale_target_utilization",
        ("--at", "--autoscale-target-utilization"),
        int,
        "Percent of the replicas that shall be busy.",
    ),
    ("scoring_timeout_ms", ("--st", "--scoring-timeout-ms"), int, "504 when scoring is slower."),
    (
        "replica_max_concurrent_requests",
        ("--rm", "--replica-max-concurrent-requests"),
        int,
        "Requests that one replica gets at a time.",
    ),
    ("max_request_wait_time", ("--mw", "--max-request-wait-time"), int, "Milliseconds until 503."),
    ("max_body_bytes", ("--max-body-bytes",), int, "413 for a larger request."),
    ("period_seconds", ("--period-seconds",), float, "Between two probes of a replica."),
    ("initial_delay_seconds", ("--initial-delay-seconds",), float, "Until a failed one counts."),
    ("timeout_seconds", ("--timeout-seconds",), float, "Of a probe."),
    ("success_threshold", ("--success-threshold",), int, "Probes until it is well again."),
    ("failure_threshold", ("--failure-threshold",), int, "Failed ones until it starts anew."),
    ("collect_model_data", ("--md", "--collect-model-data"), bool, "Keep inputs, predictions."),
    ("collect_image_copies", ("--collect-image-copies",), bool, "Keep the images with them."),
    ("enable_app_insights", ("--ai", "--enable-app-insights"), bool, "Keep a history of requests."),
    ("allow_pickle", ("--allow-pickle",), bool, "Load .joblib and .pkl, which may run any code."),
)
_ACCESS: Final[Sequence[tuple[str, tuple[str, ...], Any, str]]] = (
    ("port", ("--port",), int, "Of its own, on local and instance.  [default: a free one]"),
    ("host", ("--host",), str, "Address to listen on, on local and instance."),
    ("cors_origins", ("--cors-origins",), _WORDS, "Origins whose pages may call it; * for all."),
    ("ssl_enabled", ("--ssl-enabled",), bool, "TLS, on instance; --tls-cert says it too."),
    (
        "ssl_cert_pem_file",
        ("--tls-cert", "--ssl-cert-pem-file"),
        _FILE,
        "Certificate of an instance with its chain, PEM.",
    ),
    ("ssl_key_pem_file", ("--tls-key", "--ssl-key-pem-file"), _FILE, "Its private key, PEM."),
    ("ssl_cname", ("--ssl-cname",), str, "Host name in its URIs."),
)
_SAID_ELSEWHERE: Final = {
    "auth_enabled": "--auth-enabled",
    "token_auth_enabled": "--token-auth-enabled",
    "primary_key": "--primary-key",
    "secondary_key": "--secondary-key",
    "version_name": "--version-name",
    "traffic_percentile": "--traffic-percentile",
}
FLAGS: Final = {
    **{name: flags[-1] for name, flags, *_ in (*_RUNTIME, *_ACCESS)},
    **_SAID_ELSEWHERE,
}
"""By parameter of the SDK."""
TARGETS: Final = ("local", "instance", "cluster", "batch")
_OLD_TARGETS: Final = {"aci": "instance", "aks": "cluster"}
_NAMES: Final = tuple(name for name, *_ in (*_RUNTIME, *_ACCESS))


class Target(click.Choice[str]):
    """One of the targets; the retired ones are understood, and their new name is said."""

    def __init__(self) -> None:
        super().__init__(TARGETS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the target that is meant."""
        new = _OLD_TARGETS.get(str(value).lower())
        if new is not None:
            click.echo(f"note: {value} is called --compute {new} here.", err=True)
        return super().convert(new or value, param, ctx)


def check_target(values: Mapping[str, Any], compute: str) -> None:
    """Refuse options that are for other targets.

    Raises:
        UsageError: with all of them, and the targets that they belong to.
    """
    import dataclasses

    from calotype.webservice.deployment_documents import KINDS

    accepted = {
        target: {item.name for item in dataclasses.fields(kind)} for target, kind in KINDS.items()
    }
    if compute not in accepted:
        return
    wrong: list[str] = []
    for name in values.keys() & FLAGS.keys() - _SAID_ELSEWHERE.keys() - accepted[compute]:
        owners = [one for one in TARGETS if name in accepted.get(one, ())]
        if owners:
            wrong.append(f"{FLAGS[name]} belongs to --compute {' or '.join(owners)}")
    if wrong:
        raise click.UsageError(f"{'; '.join(sorted(wrong))}, not to {compute}.")


def runtime_options(function: Decorated) -> Decorated:
    """Add the options of what may differ between versions of a service."""
    return _add(function, _RUNTIME)


def access_options(function: Decorated) -> Decorated:
    """Add the options of where a service is found and what its callers have to show."""
    function = _add(function, _ACCESS)
    legacy = (
        click.option("--tae", "--token-auth-enabled", "token_auth_enabled", type=bool, hidden=True),
        click.option("--ae", "--auth-enabled", "auth_enabled", type=bool, hidden=True),
    )
    for option in legacy:
        function = option(function)
    return click.option(
        "--auth",
        type=click.Choice(["none", "key", "token"]),
        help="What callers have to show.  [default: key on cluster, else none]",
    )(function)


def inference_options(function: Decorated) -> Decorated:
    """Add the options of what runs: models, script, source, files."""
    for option in reversed(
        (
            click.option(
                "-m",
                "--model",
                "models",
                multiple=True,
                metavar="NAME[:VERSION]|PATH",
                shell_complete=complete_models,
                help="A registered model, or a folder or file that is registered on the way; "
                "repeatable.",
            ),
            click.option(
                "--ic",
                "--inference-config-file",
                "inference_file",
                type=PATH,
                help="inferenceconfig.json: entryScript, sourceDirectory, environment.",
            ),
            click.option("--entry-script", "--es", help="A score.py with init() and run()."),
            click.option(
                "--source-directory",
                "--sd",
                type=PATH,
                help="All that the script needs; --entry-script is a path in it.  [default: the "
                "Python and JSON files beside the script]",
            ),
            click.option(
                "-e",
                "--environment-name",
                "environment",
                metavar="NAME[:VERSION]",
                help="A registered environment for the script.  [default: this one]",
            ),
        )
    ):
        function = option(function)
    return function


def label_options(function: Decorated) -> Decorated:
    """Add description, tags and properties."""
    for option in reversed(
        (
            click.option("--description", help="For people."),
            click.option("--tag", multiple=True, metavar="NAME=VALUE", help="Repeatable."),
            click.option(
                "--property",
                "property_",
                multiple=True,
                metavar="NAME=VALUE",
                help="Can be added to, never changed; repeatable.",
            ),
        )
    ):
        function = option(function)
    return function


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Take what was said of the runtime and access options, by the names of the SDK."""
    said = {name: options.pop(name, None) for name in _NAMES}
    values = {name: value for name, value in said.items() if value is not None}
    if "ssl_cert_pem_file" in values:
        values.setdefault("ssl_enabled", True)
    if isinstance(origins := values.get("cors_origins"), str):
        values["cors_origins"] = [one.strip() for one in origins.split(",") if one.strip()]
    return values | _auth(options)


def _auth(options: dict[str, Any]) -> dict[str, Any]:
    auth = options.pop("auth", None)
    legacy = {
        name: value
        for name in ("auth_enabled", "token_auth_enabled")
        if (value := options.pop(name, None)) is not None
    }
    if auth is None:
        return legacy
    if legacy:
        raise click.UsageError("--auth excludes --auth-enabled and --token-auth-enabled.")
    return {"auth": auth}


def _add(
    function: Decorated, options: Sequence[tuple[str, tuple[str, ...], Any, str]]
) -> Decorated:
    for name, flags, kind, text in reversed(options):
        attributes: dict[str, Any] = {"type": kind, "help": text}
        if kind is bool:
            # A flag; with a value, as the retired CLI had it, too: --as false.
            attributes |= {"is_flag": False, "flag_value": True, "metavar": "[true|false]"}
        elif kind == _WORDS:
            attributes["type"] = str
        function = click.option(*flags, name, **attributes)(function)
    return function
