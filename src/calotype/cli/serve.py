"""`calotype serve`: one service in the foreground."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from calotype import errors
from calotype.cli.options import PATH, parameter_options
from calotype.cli.references import model_folder, model_path
from calotype.cli.terminal import Terminal, command, examples, facts
from calotype.cli.workspace_option import workspace_option
from calotype.serving.settings import ServiceSettings

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.serving.deployment import Addresses, Deployment
    from calotype.serving.front import FrontSettings

_CHECK_LIFETIME_S = 300
_OF_IMAGE_MODELS = ("precision", "threads", "exact_decode", "calibration", "all_cores_when_alone")


@command(
    epilog=examples(
        "calotype serve --model MODEL",
        "calotype serve --model imagenet --auth key --port 8080",
        "calotype serve --entry-script score.py --model-dir model/ --workers 2 --reload",
        "calotype serve --model ridge.onnx --tls-cert cert.pem --tls-key key.pem",
        "curl -H 'Content-Type: image/jpeg' --data-binary @photo.jpg http://127.0.0.1:5001/score",
    )
)
@click.option(
    "--model",
    help="An image model ('imagenet' for 1,000 everyday things), an .onnx file of any kind, a "
    "scikit-learn model as .skops, or NAME[:VERSION] of the workspace.",
)
@click.option("--entry-script", type=PATH, help="A score.py with init() and run().")
@click.option(
    "--model-dir",
    type=PATH,
    help="What the script finds as AZUREML_MODEL_DIR; NAME[:VERSION] of the workspace, too.",
)
@click.option(
    "--source-directory", type=PATH, help="Where its imports begin.  [default: its own folder]"
)
@click.option(
    "--allow-pickle",
    is_flag=True,
    help="Take .joblib and .pkl files as --model: loading one runs whatever code is in it.",
)
@click.option("--reload", is_flag=True, help="Run the script anew when a file beside it changes.")
@click.option(
    "--primary-key",
    envvar="CALOTYPE_PRIMARY_KEY",
    show_envvar=True,
    help="With --auth key.  [default: one is made]",
)
@click.option(
    "--secondary-key",
    envvar="CALOTYPE_SECONDARY_KEY",
    show_envvar=True,
    help="With --auth key.  [default: one is made]",
)
@click.option(
    "--token-key",
    type=PATH,
    help="With --auth token: the file of the signing key; made when it is not there.",
)
@click.option("--tls-cert", type=PATH, help="Certificate with its chain, PEM.")
@click.option("--tls-key", type=PATH, help="Its private key, PEM.")
@click.option("--tls-exact-1.2", "tls_exact_1_2", is_flag=True, help="Refuse TLS 1.3 too.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "int8"]),
    default="auto",
    show_default=True,
    help="Of an image model; auto: the fastest that was measured to agree with fp32.",
)
@click.option("--threads", type=int, help="That decode and infer images.  [default: all cores]")
@click.option("--exact-decode", is_flag=True, help="Decode large JPEGs at full size.")
@click.option(
    "--calibration/--no-calibration",
    default=True,
    show_default=True,
    help="Calibrated probabilities of an image model, or those of the network as they come.",
)
@click.option(
    "--all-cores-when-alone/--one-core-when-alone",
    default=True,
    show_default=True,
    help="A request that is alone gets all cores; needs the image model twice in memory.",
)
@click.option(
    "--access-log/--no-access-log",
    default=True,
    show_default=True,
    help="A line of the log for each request.",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    default="auto",
    show_default=True,
    help="Of the log on stderr; auto: text in a terminal.",
)
@click.option(
    "--capture", type=PATH, metavar="DIR", help="Keep requests and answers of /score in DIR."
)
@click.option(
    "--collect",
    type=PATH,
    metavar="DIR",
    help="Keep inputs and predictions as tables by day in DIR.",
)
@click.option(
    "--collect-image-copies", is_flag=True, help="Keep images there too, not only their digests."
)
@click.option(
    "--capture-fields-to-hide",
    default="",
    metavar="LIST",
    help="Names of JSON fields whose values are not kept, such as name,birth_date.",
)
@workspace_option
@click.option("--check", is_flag=True, help="Start, check the service as its callers see it, end.")
@parameter_options(ServiceSettings)
def serve(
    terminal: Terminal,
    model: str | None,
    entry_script: Path | None,
    model_dir: Path | None,
    source_directory: Path | None,
    allow_pickle: bool,
    reload: bool,
    primary_key: str | None,
    secondary_key: str | None,
    token_key: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_exact_1_2: bool,
    precision: Literal["auto", "fp32", "bf16", "int8"],
    threads: int | None,
    exact_decode: bool,
    calibration: bool,
    all_cores_when_alone: bool,
    access_log: bool,
    log_format: Literal["auto", "json", "text"],
    capture: Path | None,
    capture_fields_to_hide: str,
    collect: Path | None,
    collect_image_copies: bool,
    check: bool,
    **limits: Any,
) -> None:
    """Serve a model or an entry script over HTTP until Ctrl-C or SIGTERM.

    POST /score takes an image, or what the script takes; GET / is the health, GET /swagger.json the
    description, GET /metrics the counters. Accepted requests are answered before it ends.
    """
    if (model is None) == (entry_script is None):
        raise click.UsageError("Give either --model or --entry-script.")
    if entry_script is None and (model_dir or source_directory or reload):
        raise click.UsageError(
            "--model-dir, --source-directory and --reload belong to --entry-script."
        )
    from calotype.serving.deployment import Deployment, StopServing
    from calotype.serving.deployment import serve as run_service
    from calotype.serving.front import FrontSettings
    from calotype.serving.journal import default_format
    from calotype.serving.server import run

    settings = ServiceSettings.of(limits)
    front = FrontSettings(
        settings,
        certificate=str(tls_cert or ""),
        certificate_key=str(tls_key or ""),
        exact_tls_1_2=tls_exact_1_2,
        log_format=default_format() if log_format == "auto" else log_format,
        with_access_log=access_log and not (terminal.quiet or check),
    )
    front = _with_capture(
        front, capture, collect, capture_fields_to_hide, with_copies=collect_image_copies
    )
    front = _with_credentials(front, primary_key, secondary_key, token_key)
    deployment = Deployment(
        front,
        precision=precision,
        threads=threads,
        exact_decode=exact_decode,
        is_calibrated=calibration,
        all_cores_when_alone=all_cores_when_alone,
        reload=reload,
    )
    if entry_script is None:
        deployment = _of_model(deployment, model_path(model or ""), allow_pickle=allow_pickle)
    else:
        folder = model_folder(model_dir) if model_dir is not None else None
        deployment = _of_script(deployment, entry_script, source_directory, folder)
    if deployment.kind != "image":
        _refuse(_OF_IMAGE_MODELS, "belongs to image models.")

    async def ready(addresses: Addresses) -> None:
        _announce(terminal, deployment, addresses)
        if check:
            credential = _credential(deployment.front, token_key)
            await _check(terminal, deployment.front, addresses, credential)
            raise StopServing

    try:
        run(lambda: run_service(deployment, ready))
    except errors.ScriptFailed as failure:
        if not terminal.verbose:
            click.echo(failure.trace, err=True, nl=False)
        raise


def _with_capture(
    front: FrontSettings,
    folder: Path | None,
    collect: Path | None,
    hidden: str,
    *,
    with_copies: bool,
) -> FrontSettings:
    fields = tuple(name.strip() for name in hidden.split(",") if name.strip())
    if folder is None and collect is None and fields:
        raise click.UsageError("--capture-fields-to-hide belongs to --capture and --collect.")
    if collect is None and with_copies:
        raise click.UsageError("--collect-image-copies belongs to --collect.")
    return replace(
        front,
        capture=str(folder.resolve()) if folder else "",
        collect=str(collect.resolve()) if collect else "",
        collect_image_copies=with_copies,
        hidden_fields=fields,
    )


def _with_credentials(
    front: FrontSettings, primary: str | None, secondary: str | None, token_key: Path | None
) -> FrontSettings:
    """Fill in the keys, given or made, or the public part of the signing key."""
    from calotype.serving.auth.authenticator import keys_for

    auth = front.service.auth
    if bool(front.certificate) != bool(front.certificate_key):
        raise click.UsageError("--tls-cert and --tls-key belong together.")
    if (token_key is not None) != (auth == "token"):
        raise click.UsageError("--auth token and --token-key FILE belong together.")
    keys = keys_for(auth, primary, secondary, given_as=_given(("primary_key", "secondary_key")))
    if keys is not None:
        return replace(front, primary_key=keys.primary, secondary_key=keys.secondary)
    if token_key is None:
        return front
    from calotype.serving.auth.tokens import by_id, jwks, signing_key

    public = by_id(signing_key(token_key).public_key())
    return replace(front, token_keys=json.dumps(jwks(public)))


def _given(names: Sequence[str]) -> str:
    """Return how the user gave these options: by their flags or environment variables."""
    context = click.get_current_context()
    found: list[str] = []
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name not in names or source in (None, ParameterSource.DEFAULT):
            continue
        is_variable = source == ParameterSource.ENVIRONMENT
        found.append(f"variable {option.envvar}" if is_variable else option.opts[0])
    return ", ".join(found)


def _refuse(names: Sequence[str], why: str) -> None:
    """Refuse options that have no meaning for what is served.

    Raises:
        UsageError: one of them was given.
    """
    if given := _given(names):
        raise click.UsageError(f"{given} {why}")


def _of_model(deployment: Deployment, model: str, *, allow_pickle: bool) -> Deployment:
    if Path(model).suffix.lower() not in (".skops", ".joblib", ".pkl"):
        if deployment.front.service.workers > 1:
            raise click.UsageError(
                "--workers belongs to --entry-script: a model uses all cores in one process "
                "(--threads)."
            )
        deployment = replace(deployment, model=model)
        if deployment.kind == "onnx":
            _check_exists(Path(model))
        return deployment
    _check_exists(Path(model))
    _check_installed("sklearn", *(["skops"] if Path(model).suffix.lower() == ".skops" else []))
    from calotype.serving.no_code.sklearn_script import script_for

    depth = deployment.front.service.max_json_depth
    entry = script_for(Path(model), allow_pickle=allow_pickle, max_json_depth=depth)
    made = _of_script(deployment, entry.script, None, entry.model_dir)
    assert made.script is not None
    return replace(made, script=replace(made.script, environment=dict(entry.environment)))


def _of_script(
    deployment: Deployment, script: Path, source_directory: Path | None, model_dir: Path | None
) -> Deployment:
    from calotype.serving.entry.fork_client import ForkConfiguration

    for place in filter(None, (script, source_directory, model_dir)):
        _check_exists(place)
    limits = deployment.front.service
    source = source_directory or script.parent
    return replace(
        deployment,
        script=ForkConfiguration(
            script.resolve(),
            source_directory=source.resolve(),
            model_directory=model_dir.resolve() if model_dir else None,
            timeout_ms=limits.scoring_timeout_ms,
            max_json_depth=limits.max_json_depth,
            max_multipart_parts=limits.max_multipart_parts,
            log_format=deployment.front.log_format,
        ),
        front=replace(deployment.front, source_directory=str(source.resolve())),
    )


def _check_exists(place: Path) -> None:
    if not place.exists():
        raise errors.UnreadableFile(
            "expected a file or folder",
            where=str(place),
            got="nothing there",
            action="Check the path.",
        )


def _check_installed(*packages: str) -> None:
    """Ask before any process is started: it could only fail with a trace."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise errors.MissingDependency(
                f"expected the package {package}",
                where="calotype serve --model",
                got="none",
                action="Install it: pip install 'calotype[sklearn]'.",
            )


def _announce(terminal: Terminal, deployment: Deployment, addresses: Addresses) -> None:
    """Print where the service is, and its keys: nowhere else will they be shown."""
    front = deployment.front
    document: dict[str, Any] = {
        "name": front.service.name,
        **asdict(addresses),
        "auth": front.service.auth,
        "pid": os.getpid(),
    }
    if front.primary_key:
        document |= {"primary_key": front.primary_key, "secondary_key": front.secondary_key}

    def render(console: Console) -> None:
        rows = [(key.replace("_", " "), value) for key, value in document.items()]
        facts(console, [*rows, ("stop it with", "Ctrl-C")])

    terminal.show(document, render)
    sys.stdout.flush()


def _credential(front: FrontSettings, token_key: Path | None) -> str:
    """Return what opens the service to a caller of our own; empty when nothing is asked for."""
    if token_key is None:
        return front.primary_key
    from calotype.serving.auth.tokens import TokenIssuer, signing_key
    from calotype.serving.front import ISSUER

    issuer = TokenIssuer(signing_key(token_key), service=front.service.name, issuer=ISSUER)
    return issuer.issue(lifetime_s=_CHECK_LIFETIME_S).token


async def _check(
    terminal: Terminal, front: FrontSettings, addresses: Addresses, credential: str
) -> None:
    """Check the service as its callers see it, and print what was found.

    Raises:
        OperationFailed: there is an error among it.
    """
    from calotype.cli.service_client import show_report
    from calotype.serving.check import check
    from calotype.serving.deployment import local_host
    from calotype.serving.http_client import HttpClient

    # Its certificate may be for a name that leads elsewhere, where its key must not go.
    # That it is ours needs no authority to tell.
    http = HttpClient(
        connect_to=local_host(front.service.host),
        ca_file=Path(front.certificate) if front.certificate else None,
    )
    report = await asyncio.to_thread(check, addresses.scoring_uri, credential=credential, http=http)
    show_report(terminal, report)
