"""What deployed services have to do: the acceptance list, one number after the other.

Numbers are those of the list of features; items of other numbers are tested elsewhere.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from browser import page_server, seen_by_page
from click.testing import CliRunner
from deployed import PUBLISHED, ROWS, called, inference, running_workspace
from hosted import until

from calotype import errors
from calotype.azureml.core import ComputeTarget, Model, Webservice, Workspace
from calotype.azureml.core.compute.aks import AksUpdateConfiguration, SslConfiguration
from calotype.azureml.core.webservice import AciWebservice, AksWebservice, LocalWebservice
from calotype.azureml.exceptions import WebserviceException, WebserviceNotFound
from calotype.cli.main import program
from calotype.hosting.management import Management
from calotype.serving.http_client import HttpClient, Reply
from calotype.webservice.deployment_configuration import DeploymentConfiguration

HOLDS = """
import json, os, socket
def init(): pass
def run(raw_data):
    gate = json.loads(raw_data).get("gate")
    if gate:  # whoever holds it learns the worker's pid, and lets it go on by closing it
        with socket.create_connection(("127.0.0.1", gate)) as link:
            link.sendall(b"%d" % os.getpid())
            link.recv(1)
    return "done"
"""
RAISES = "def init():\n    raise LookupError('no such weights')\ndef run(data): return 1\n"
DONE = b'"done"'
MOST_BYTES = 1000
_Place = tuple[Workspace, Path]


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate for `localhost`."""

    authority: Path
    chain: Path
    key: Path


@pytest.fixture(scope="module")
def place() -> Iterator[_Place]:
    with running_workspace() as made:
        yield made


@pytest.fixture(scope="module")
def page() -> Iterator[Callable[..., str]]:
    with page_server() as show:
        yield show


@pytest.fixture(scope="module")
def certificate(place: _Place) -> Certificate:
    folder = place[1]
    files = Certificate(folder / "authority.pem", folder / "chain.pem", folder / "key.pem")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(files.authority)
    files.chain.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(files.key)
    return files


@pytest.fixture(scope="module")
def services(
    place: _Place, page: Callable[..., str], certificate: Certificate
) -> dict[str, Webservice]:
    """Deploy all services of the list at once."""
    ws, folder = place
    full: dict[str, Any] = {"max_request_wait_time": 100, "max_body_bytes": MOST_BYTES}
    hasty: dict[str, Any] = {"max_request_wait_time": 60_000, "scoring_timeout_ms": 1_000}
    tls: dict[str, Any] = {"ssl_enabled": True, "ssl_cname": "localhost"}
    tls |= {"ssl_cert_pem_file": certificate.chain, "ssl_key_pem_file": certificate.key}
    aci, aks = AciWebservice.deploy_configuration, AksWebservice.deploy_configuration
    wanted: dict[str, DeploymentConfiguration] = {
        "as-local": LocalWebservice.deploy_configuration(),
        "as-instance": aci(tags={"kind": "aci"}),
        "as-cluster": aks(
            num_replicas=1,
            properties={"team": "one"},
            cors_origins=[page()],
            max_body_bytes=2 * MOST_BYTES,
        ),
        "with-tokens": aks(num_replicas=1, token_auth_enabled=True),
        "by-tls": aci(**tls),
    }
    busy: dict[str, DeploymentConfiguration] = {
        "full-instance": aci(replica_max_concurrent_requests=1, **full),
        "full-cluster": aks(num_replicas=1, auth_enabled=False, **full),
        "hasty-instance": aci(**hasty),
        "hasty-cluster": aks(num_replicas=1, auth_enabled=False, **hasty),
    }
    broken: dict[str, DeploymentConfiguration] = {
        "broken-instance": aci(),
        "broken-cluster": aks(num_replicas=1, auth_enabled=False),
    }
    Model.register(ws, folder / "model/ridge.npz", "of-broken")
    made = {
        name: Model.deploy(ws, name, models, script, configuration)
        for models, script, configurations in (
            (["diabetes"], inference(folder), wanted),
            ([], inference(folder, HOLDS), busy),
            (["of-broken"], inference(folder, RAISES), broken),
        )
        for name, configuration in configurations.items()
    }
    for name in (*wanted, *busy):
        made[name].wait_for_deployment()
    return made


def rows() -> bytes:
    return json.dumps(ROWS).encode()


def check_error(reply: Reply, status: int) -> str:
    """Check that an answer is an ErrorResponse; return its message."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/json"
    document = json.loads(reply.body)
    assert set(document) == {"status_code", "message", "request_id"}
    assert document["status_code"] == status
    assert document["request_id"] == reply.headers["x-request-id"]
    return document["message"]


# 5: who may call


@pytest.mark.parametrize("name", ["as-local", "as-instance"])
def test_5_a_local_service_and_an_instance_ask_for_nothing(
    services: dict[str, Webservice], name: str
) -> None:
    service = services[name]
    reply = called(service.scoring_uri, body=rows())
    assert (reply.status, json.loads(reply.body)) == (200, PUBLISHED)
    assert not service.auth_enabled
    assert service.run(ROWS) == PUBLISHED
    with pytest.raises(WebserviceException, match="key"):
        service.get_keys()
    with pytest.raises(WebserviceException, match="token"):
        service.get_token()


def test_5_a_cluster_asks_for_a_key_of_which_one_can_be_exchanged(
    services: dict[str, Webservice],
) -> None:
    cluster = services["as-cluster"]
    uri = cluster.scoring_uri
    check_error(called(uri, body=rows()), 401)
    primary, secondary = cluster.get_keys()
    assert [called(uri, key, rows()).status for key in (primary, secondary)] == [200, 200]
    cluster.regen_key("pRIMARY")
    renewed, same = cluster.get_keys()
    assert same == secondary
    check_error(called(uri, primary, rows()), 401)
    assert [called(uri, key, rows()).status for key in (renewed, secondary)] == [200, 200]
    cluster.regen_key("secondary", set_key="one-that-I-chose")
    assert cluster.get_keys() == (renewed, "one-that-I-chose")
    assert cluster.run(ROWS) == PUBLISHED


# 6: tokens


def test_6_tokens_end_and_do_not_go_with_keys(
    place: _Place, services: dict[str, Webservice]
) -> None:
    service, other = services["with-tokens"], services["as-cluster"]
    token, refresh_by = service.get_token()
    whole = service.get_access_token()
    assert datetime.now(UTC) < refresh_by
    assert whole.refresh_after < whole.expiry_on
    uri = service.scoring_uri
    assert [called(uri, one, rows()).status for one in (token, whole.access_token)] == [200, 200]
    check_error(called(uri, body=rows()), 401)
    expired = Management(place[0]).token(service.name, lifetime_s=-60)
    check_error(called(uri, expired.token, rows()), 401)
    check_error(called(other.scoring_uri, token, rows()), 401)
    with pytest.raises(WebserviceException, match="cannot both be True"):
        AksWebservice.deploy_configuration(auth_enabled=True, token_auth_enabled=True)
    with pytest.raises(WebserviceException, match="cannot both be True"):
        service.update(auth_enabled=True, token_auth_enabled=True)


# 9: pages of other origins


def preflight(service: Webservice, origin: str) -> Reply:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    return HttpClient().request("OPTIONS", service.scoring_uri or "", asked)


def test_9_the_preflight_of_a_protected_service_is_answered(
    services: dict[str, Webservice], page: Callable[..., str]
) -> None:
    cluster, origin = services["as-cluster"], page()
    reply = preflight(cluster, origin)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, origin)
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert reply.headers["access-control-allow-headers"] == "authorization, content-type"
    stranger = preflight(cluster, "https://evil.example")
    assert "access-control-allow-origin" not in stranger.headers


def test_9_origins_are_named_while_a_service_runs(services: dict[str, Webservice]) -> None:
    service, origin = services["with-tokens"], "https://app.example"
    assert "access-control-allow-origin" not in preflight(service, origin).headers
    service.update(cors_origins=[origin])
    service.wait_for_deployment()
    assert preflight(service, origin).headers["access-control-allow-origin"] == origin


def test_9_a_page_in_a_browser_calls_a_protected_service(
    services: dict[str, Webservice], page: Callable[..., str], tmp_path: Path
) -> None:
    cluster = services["as-cluster"]
    call = {"uri": cluster.scoring_uri, "key": cluster.get_keys()[0], "body": ROWS}
    too_long = {**call, "body": "x" * 2 * MOST_BYTES}  # which the front door refuses
    origin = page([call, {**call, "key": "wrong"}, too_long])
    (status, answer), *refused = seen_by_page(origin, tmp_path)
    assert (status, answer) == (200, PUBLISHED)
    assert [(status, why["status_code"]) for status, why in refused] == [(401, 401), (413, 413)]


# 11: TLS


@contextmanager
def with_tls(service: Webservice, files: Certificate) -> Generator[Webservice]:
    """Give a service that has TLS of its own, or that of the address of its cluster."""
    if not isinstance(service, AksWebservice):
        yield service
        return
    compute = ComputeTarget(service.workspace, "this-machine")
    before = service.scoring_uri
    said = SslConfiguration("Enabled", files.chain, files.key, "localhost")
    compute.update(AksUpdateConfiguration(said))
    try:
        yield service
    finally:
        compute.update(AksUpdateConfiguration(SslConfiguration("Disabled")))
    assert service.scoring_uri == before
    assert service.run(ROWS) == PUBLISHED


def speaks(uri: str, files: Certificate, version: ssl.TLSVersion) -> str | None:
    """Shake hands with one version of TLS alone; return what is spoken."""
    parts = urlsplit(uri)
    context = ssl.create_default_context(cafile=files.authority)
    context.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL refuses on our side, before the server
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of versions that must be refused
        context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection((parts.hostname, parts.port), 20) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as connection,
    ):
        return connection.version()


@pytest.mark.parametrize("name", ["by-tls", "as-cluster"])
def test_11_tls_1_2_works_and_1_1_does_not(
    services: dict[str, Webservice], certificate: Certificate, name: str
) -> None:
    with with_tls(services[name], certificate) as service:
        uri, described_at = service.scoring_uri, service.swagger_uri
        assert uri
        assert described_at
        assert uri.startswith("https://localhost:")
        assert speaks(uri, certificate, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version|EOF"):
            speaks(uri, certificate, ssl.TLSVersion.TLSv1_1)

        client = HttpClient(ca_file=certificate.authority)
        described = client.request("GET", described_at, {})
        assert (described.status, json.loads(described.body)["schemes"]) == (200, ["https"])
        key = service.get_keys()[0] if service.auth_enabled else ""
        sent = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        scored = client.request("POST", uri, sent, rows())
        assert (scored.status, json.loads(scored.body)) == (200, PUBLISHED)
        assert service.run(ROWS) == PUBLISHED


# 12: overload


@contextmanager
def held(uri: str | None) -> Generator[tuple[int | None, Future[Reply]]]:
    """Send a request that its worker holds until the block ends; give its pid, and the reply.

    There is no pid when the worker was interrupted before it could tell.
    """
    with ThreadPoolExecutor(1) as pool, socket.create_server(("127.0.0.1", 0)) as gate:
        gate.settimeout(60)
        body = json.dumps({"gate": gate.getsockname()[1]}).encode()
        reply = pool.submit(called, uri, body=body)
        worker, _ = gate.accept()
        with worker:
            pid = worker.recv(20)
            yield int(pid) if pid else None, reply


@pytest.fixture(params=["instance", "cluster"])
def full(services: dict[str, Webservice], request: pytest.FixtureRequest) -> str | None:
    """Where one request is taken at a time, others wait for 100 ms, and bodies are short."""
    return services[f"full-{request.param}"].scoring_uri


@pytest.fixture(params=["instance", "cluster"])
def hasty(services: dict[str, Webservice], request: pytest.FixtureRequest) -> str | None:
    """Where a run may take a second, and requests wait for ever."""
    return services[f"hasty-{request.param}"].scoring_uri


def test_12_waiting_too_long_is_503(full: str | None) -> None:
    with held(full) as (_, reply):
        refused = called(full)
        assert "100 ms" in check_error(refused, 503)
        assert int(refused.headers["retry-after"]) > 0
    assert reply.result().body == DONE
    until(lambda: called(full, body=b"{}").body == DONE, "an answer at once")


def test_12_running_too_long_is_504(hasty: str | None) -> None:
    with held(hasty) as (_, reply):
        assert "1000 ms" in check_error(reply.result(), 504)
    until(lambda: called(hasty, body=b"{}").body == DONE, "an answer in time")


def test_12_a_worker_that_is_killed_is_502_and_then_there_is_another(full: str | None) -> None:
    with held(full) as (pid, reply):
        assert pid
        os.kill(pid, signal.SIGKILL)
        check_error(reply.result(), 502)
    until(lambda: called(full, body=b"{}").body == DONE, "another worker")
    with held(full) as (other, reply):
        assert other
        assert other != pid
    assert reply.result().body == DONE


def test_12_a_replica_that_is_killed_is_502_and_then_there_is_another(
    services: dict[str, Webservice],
) -> None:
    cluster = services["full-cluster"]
    uri = cluster.scoring_uri
    (replica,) = cluster.observed().replicas
    with held(uri) as (_, reply):
        os.kill(replica.pid, signal.SIGKILL)
        check_error(reply.result(), 502)
    refused = called(uri)
    if refused.status != 200:
        check_error(refused, 503)
    until(lambda: called(uri).status == 200, "another replica")


def test_12_a_body_too_long_is_413(full: str | None) -> None:
    longest = b'{"data": "%b"}' % (b"x" * (MOST_BYTES - 12))
    assert called(full, body=longest).body == DONE
    assert f"{MOST_BYTES:,} bytes" in check_error(called(full, body=longest + b" "), 413)


# 13: finding services


def test_13_services_are_found_by_what_they_have(
    place: _Place, services: dict[str, Webservice]
) -> None:
    def names(**filters: object) -> list[str]:
        return [one.name for one in Webservice.list(place[0], **filters)]  # pyright: ignore[reportArgumentType]

    broken = {"broken-instance", "broken-cluster"}  # `test_14` deletes them
    assert set(names()) - broken == services.keys() - broken
    assert names(compute_type="LOCAL") == ["as-local"]
    assert names(compute_type="ACI", model_name="diabetes") == ["as-instance", "by-tls"]
    assert names(compute_type="aks", model_name="diabetes") == ["as-cluster", "with-tokens"]
    assert names(model_name="another") == names(compute_type="IOT") == []
    assert names(tags=["kind"]) == names(tags=[["kind", "aci"]]) == ["as-instance"]
    assert names(tags=[["kind", "aks"]]) == names(tags=["kind"], compute_type="AKS") == []
    assert names(properties=[["team", "one"]], model_id="diabetes:1") == ["as-cluster"]
    with pytest.raises(WebserviceException, match="compute_type"):
        names(compute_type="FPGA")


def test_13_a_name_that_nobody_has_is_not_found(place: _Place) -> None:
    for kind in (Webservice, AciWebservice, AksWebservice, LocalWebservice):
        with pytest.raises(WebserviceNotFound, match="nobody"):
            kind(place[0], "nobody")
    assert LocalWebservice(place[0], "nobody", must_exist=False).state == "unknown"


@pytest.mark.parametrize("name", ["as-local", "as-instance", "as-cluster"])
def test_13_the_command_line_shows_both_addresses(
    place: _Place, services: dict[str, Webservice], name: str
) -> None:
    command = ["-w", str(place[1] / "place"), "service", "show", "-n", name]
    shown = CliRunner().invoke(program, command, catch_exceptions=False).stdout
    service = services[name]
    assert service.scoring_uri
    assert service.swagger_uri
    assert service.scoring_uri in shown
    assert service.swagger_uri in shown


# 14: `init` that raises


@pytest.mark.parametrize("target", ["instance", "cluster"])
def test_14_init_that_raises_is_shown_and_opens_no_route(
    services: dict[str, Webservice], target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service = services[f"broken-{target}"]
    with pytest.raises(WebserviceException) as raised:
        service.wait_for_deployment(show_output=True)
    for told in (raised.value.message, capsys.readouterr().out):
        assert "LookupError: no such weights" in told
        assert "ridge.npz" in told
    assert service.state == "Failed"
    assert "LookupError: no such weights" in service.get_logs(init=True)
    if target == "instance":
        with pytest.raises(errors.OperationFailed, match="refused"):
            called(service.scoring_uri)
    else:
        check_error(called(service.scoring_uri), 503)
    through_door = services["as-cluster"].scoring_uri or ""
    through_door = through_door.replace("as-cluster", service.name)
    check_error(called(through_door), 503)
    service.delete()
    check_error(called(through_door), 404)
