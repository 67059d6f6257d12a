"""The plan of a replica, from the records of its service."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calotype.hosting.layout import Layout
from calotype.hosting.replica_plan import ReplicaPlan
from calotype.hosting.unpacking import Unpacked
from calotype.serving.front import FrontSettings
from calotype.serving.settings import ServiceSettings

if TYPE_CHECKING:
    from calotype.workspace.credentials import Credentials
    from calotype.workspace.services import Revision, Service

PREFIX = "/api/v1/service/"
NO_MODEL = "no-model:0"  # of scripts that have none


def front_of(
    service: Service,
    revision: Revision,
    credentials: Credentials,
    *,
    port: int,
    other_token_keys: str = "",
) -> FrontSettings:
    """Return what stands before a replica."""
    access, runtime = service.access, revision.runtime
    limits = ServiceSettings(
        name=service.name,
        host=access.host,
        port=port,
        path_prefix=PREFIX + service.name,
        workers=runtime.workers,
        auth=access.auth,
        cors_origins=access.cors_origins,
        scoring_timeout_ms=runtime.scoring_timeout_ms,
        max_request_wait_ms=runtime.max_request_wait_ms,
        max_concurrent_requests=min(runtime.replica_max_concurrent_requests, 1000),
        max_body_bytes=runtime.max_body_bytes,
    )
    return FrontSettings(
        limits,
        primary_key=credentials.primary_key,
        secondary_key=credentials.secondary_key,
        token_keys=token_keys(credentials) if access.auth == "token" else "",
        other_token_keys=other_token_keys if access.auth == "token" else "",
        certificate=access.tls_certificate if port else "",
        certificate_key=access.tls_key if port else "",
        exact_tls_1_2=access.tls_exact_1_2,
    )


def _collecting(front: FrontSettings, revision: Revision, layout: Layout) -> FrontSettings:
    """Let a front keep inputs and predictions, by the first model of the revision."""
    model = revision.models[0] if revision.models else NO_MODEL
    folder = layout.collected(front.service.name).joinpath(*model.split(":"))
    return replace(
        front,
        collect=str(folder),
        collect_image_copies=revision.runtime.collect_image_copies,
    )


def token_keys(credentials: Credentials) -> str:
    """Return the public keys of a service's tokens as a JWKS document."""
    from cryptography.hazmat.primitives import serialization

    from calotype.serving.auth.tokens import by_id, jwks

    key: Any = serialization.load_pem_private_key(credentials.signing_key.encode(), password=None)
    return json.dumps(jwks(by_id(key.public_key())))


def shape_of(service: Service, port: int) -> str:
    """Return a name for what a replica cannot change while it runs, beside its revision."""
    access = service.access
    said = [access.host, port, access.tls_certificate, access.tls_key, access.tls_exact_1_2]
    said.append(service.created_at.isoformat())  # another one of the same name
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:8]


def plan_of(
    service: Service,
    version: str,
    revision: Revision,
    unpacked: Unpacked,
    *,
    layout: Layout,
    replica: str,
    front: FrontSettings,
    listener: int,
) -> ReplicaPlan:
    """Return the plan of one replica."""
    runtime = revision.runtime
    environment: dict[str, Any] = dict(revision.inference.environment)
    interpreter = str(environment.get("interpreter") or environment.get("python") or "")
    is_other = bool(interpreter) and Path(interpreter).absolute() != Path(sys.executable).absolute()
    own = environment.get("environment_variables") or {}
    name = f"{version}-{revision.number}-{replica}.log"
    return ReplicaPlan(
        service=service.name,
        version=version,
        revision=revision.number,
        replica=replica,
        lock=str(layout.replica_lock(service.name, replica)),
        control=str(layout.replica_socket(replica)),
        wire=str(layout.replica_wire(replica)),
        log=str(layout.logs(service.name) / name),
        kind=unpacked.kind,
        front=_collecting(front, revision, layout) if runtime.collect_model_data else front,
        model=unpacked.model,
        script=unpacked.script,
        source_directory=unpacked.source_directory,
        model_directory=unpacked.model_directory,
        python=interpreter if is_other else "",
        variables={**{key: str(value) for key, value in own.items()}, **unpacked.variables},
        precision=runtime.precision,
        cpu_cores=math.ceil(runtime.cpu_cores_limit) if runtime.cpu_cores_limit else 0,
        history=str(layout.history(service.name)) if runtime.telemetry else "",
        keeper_lock=str(layout.keeper_lock),
        listener=listener,
        shape=shape_of(service, front.service.port),
    )
