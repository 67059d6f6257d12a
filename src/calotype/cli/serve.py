"""`calotype serve`: one service in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from calotype import errors
from calotype.cli.completion import complete_models
from calotype.cli.image_model_options import Precision, image_model_options
from calotype.cli.options import PATH, parameter_options
from calotype.cli.references import model_folder, model_path
from calotype.cli.serve_front import credential_of, refuse, with_capture, with_credentials
from calotype.cli.serve_report import announce, check_service
from calotype.cli.served import with_model, with_script
from calotype.cli.terminal import Terminal, command, examples
from calotype.cli.workspace_option import workspace_option
from calotype.serving.settings import ServiceSettings

if TYPE_CHECKING:
    from calotype.serving.deployment import Addresses

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
    shell_complete=complete_models,
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
@image_model_options
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
    precision: Precision,
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
    front = with_capture(
        front, capture, collect, capture_fields_to_hide, with_copies=collect_image_copies
    )
    front = with_credentials(front, primary_key, secondary_key, token_key)
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
        deployment = with_model(deployment, model_path(model or ""), allow_pickle=allow_pickle)
    else:
        folder = model_folder(model_dir) if model_dir is not None else None
        deployment = with_script(deployment, entry_script, source_directory, folder)
    if deployment.kind != "image":
        refuse(_OF_IMAGE_MODELS, "belongs to image models.")

    async def ready(addresses: Addresses) -> None:
        announce(terminal, deployment, addresses)
        if check:
            credential = credential_of(deployment.front, token_key)
            await check_service(terminal, deployment.front, addresses, credential)
            raise StopServing

    try:
        run(lambda: run_service(deployment, ready))
    except errors.ScriptFailed as failure:
        if not terminal.verbose:
            click.echo(failure.trace, err=True, nl=False)
        raise
