"""Services under the names of the retired SDK, in real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from deployed import PUBLISHED, ROWS, called, inference, running_workspace

from calotype.azureml.core import ComputeTarget, Model, Webservice, Workspace
from calotype.azureml.core.compute.aks import AksUpdateConfiguration, SslConfiguration
from calotype.azureml.core.webservice import (
    AciWebservice,
    AksEndpoint,
    AksWebservice,
    LocalWebservice,
)
from calotype.azureml.exceptions import WebserviceException, WebserviceNotFound
from calotype.hosting import keeping
from calotype.webservice.unsupported import NoMeaningHere

ANSWERS = "def init(): pass\ndef run(data): return {!r}\n"
RAISES = "def init():\n    raise LookupError('no such weights')\ndef run(data): return 1\n"
COMMON = {
    *("name", "description", "tags", "properties", "state", "createdTime", "updatedTime", "error"),
    *("computeType", "workspaceName", "imageId", "imageDigest", "imageDetails", "scoringUri"),
    "createdBy",
}
OF_CLUSTER = {
    *("appInsightsEnabled", "authEnabled", "aadAuthEnabled", "autoScaler", "computeName"),
    *("containerResourceRequirements", "dataCollection", "maxConcurrentRequestsPerContainer"),
    *("maxQueueWaitMs", "livenessProbeRequirements", "numReplicas", "deploymentStatus"),
    *("scoringTimeoutMs", "environmentDetails", "modelDetails", "isDefault", "trafficPercentile"),
    "versionType",
}
_Place = tuple[Workspace, Path]


@pytest.fixture(scope="module")
def place() -> Iterator[_Place]:
    with running_workspace() as made:
        yield made


@pytest.fixture(scope="module")
def instance(place: _Place) -> Webservice:
    """A service as `AciWebservice` makes it by default."""
    ws, folder = place
    service = Model.deploy(
        ws,
        "as-instance",
        [Model(ws, "diabetes")],
        inference(folder),
        AciWebservice.deploy_configuration(cpu_cores=1, tags={"kind": "aci"}),
    )
    service.wait_for_deployment()
    return service


@pytest.fixture(scope="module")
def cluster(place: _Place) -> Webservice:
    """A service as `AksWebservice` makes it by default."""
    ws, folder = place
    service = Model.deploy(
        ws,
        "as-cluster",
        [Model(ws, "diabetes")],
        inference(folder),
        AksWebservice.deploy_configuration(num_replicas=1, properties={"team": "one"}),
        ComputeTarget(ws, "any"),
    )
    service.wait_for_deployment()
    return service


@pytest.mark.parametrize("key", ["tertiary", "", "token", None])
def test_other_keys_cannot_be_exchanged(cluster: Webservice, key: str) -> None:
    with pytest.raises(WebserviceException, match="'Primary' or 'Secondary'"):
        cluster.regen_key(key)


def test_a_service_of_another_kind(instance: Webservice) -> None:
    with pytest.raises(WebserviceException, match="InstanceWebservice"):
        AksWebservice(instance.workspace, instance.name)


def test_documents_have_exactly_the_documented_keys(
    instance: Webservice, cluster: Webservice
) -> None:
    assert set(instance.serialize()) == COMMON
    document = cluster.serialize()
    assert set(document) == COMMON | OF_CLUSTER
    assert document["computeName"] == "any"  # as its target was called
    for kind in (Webservice, AksWebservice):
        assert type(kind.deserialize(cluster.workspace, document)) is AksWebservice
    with pytest.raises(WebserviceException, match="InstanceWebservice"):
        AksWebservice.deserialize(instance.workspace, instance.serialize())


@pytest.mark.parametrize("num_lines", [0, -3])
def test_no_lines_are_no_log(instance: Webservice, num_lines: int) -> None:
    with pytest.raises(WebserviceException, match="1 or more"):
        instance.get_logs(num_lines)


def test_an_update_that_fails_leaves_what_runs(place: _Place, instance: Webservice) -> None:
    before = instance.scoring_uri
    instance.update(inference_config=inference(place[1], RAISES))
    with pytest.raises(WebserviceException, match="LookupError"):
        instance.wait_for_deployment()
    assert (instance.state, instance.scoring_uri) == ("Healthy", before)
    assert instance.run(ROWS) == PUBLISHED
    instance.update(inference_config=inference(place[1]), enable_app_insights=False)
    instance.wait_for_deployment()
    assert instance.error is None


def test_updates_keep_address_and_keys(place: _Place, cluster: Webservice) -> None:
    keys, uri = cluster.get_keys(), cluster.scoring_uri
    cluster.update(
        description="better",
        tags={"a": "b"},
        inference_config=inference(place[1], ANSWERS.format(7)),
    )
    cluster.wait_for_deployment()
    assert cluster.run("[]") == 7
    assert (cluster.get_keys(), cluster.scoring_uri) == (keys, uri)
    assert (cluster.description, cluster.tags) == ("better", {"a": "b"})
    assert isinstance(cluster, AksWebservice)
    cluster.roll_back()
    cluster.wait_for_deployment()
    assert cluster.run(ROWS) == PUBLISHED
    cluster.update(auth_enabled=False)
    cluster.wait_for_deployment()
    assert called(uri, body=_rows()).status == 200
    cluster.update(auth_enabled=True)
    cluster.wait_for_deployment()
    assert called(uri, body=_rows()).status == 401
    with pytest.raises(WebserviceException, match="something to change"):
        cluster.update()
    with pytest.raises(WebserviceException, match="'image'"):
        cluster.update(image="x")
    with pytest.raises(WebserviceException, match="autoscale_enabled=True"):
        cluster.update(autoscale_max_replicas=3)


def test_an_update_does_all_that_it_is_told_or_says_what_not(
    instance: Webservice, cluster: Webservice
) -> None:
    with pytest.raises(WebserviceException, match=r"Got primary_key\. .*regen_key"):
        cluster.update(primary_key="abcdefghijkl", description="lost")
    with pytest.raises(TypeError, match="namspace"):
        cluster.update(namspace="mine")
    for service, named in (
        (cluster, {"namespace": "mine", "blobfuse_enabled": True}),
        (instance, {"location": "west"}),
        (instance, {"vnet_name": "a", "subnet_name": "b", "dns_name_label": "c"}),
    ):
        before = service.record()
        with pytest.warns(NoMeaningHere, match="nothing here") as warned:
            service.update(**named)
        assert {one.filename for one in warned} == {__file__}
        assert all(f"'{name}'" in "".join(str(one.message) for one in warned) for name in named)
        assert service.record() == before


def test_settings_are_there_as_attributes(instance: Webservice, cluster: Webservice) -> None:
    resources = instance.container_resource_requirements
    assert (resources.cpu, resources.memory_in_gb) == (1, 0.5)
    assert (instance.public_ip, instance.namespace) == (None, None)
    assert instance.location
    assert instance.environment is not None
    assert instance.environment.name == "tests"
    document = cluster.serialize()
    assert document["autoScaler"]["targetUtilization"] == cluster.autoscaler.target_utilization
    assert document["numReplicas"] == cluster.num_replicas
    status = cluster.deployment_status  # how many replicas there are may change meanwhile
    assert status["wantedRevision"] == document["deploymentStatus"]["wantedRevision"]
    assert document["scoringTimeoutMs"] == cluster.scoring_timeout_ms
    assert document["maxQueueWaitMs"] == cluster.max_request_wait_time
    probe = cluster.liveness_probe_requirements
    assert document["livenessProbeRequirements"]["periodSeconds"] == probe.period_seconds
    concurrent = cluster.max_concurrent_requests_per_container
    assert document["maxConcurrentRequestsPerContainer"] == concurrent
    assert not cluster.data_collection.storage_enabled
    assert not cluster.enable_app_insights
    said = (cluster.is_default, cluster.traffic_percentile, cluster.version_type)
    assert said == tuple(document[key] for key in ("isDefault", "trafficPercentile", "versionType"))
    assert ComputeTarget(cluster.workspace, "any").provisioning_errors is None


def test_a_service_that_is_starting_says_so(place: _Place) -> None:
    ws, folder = place
    slow = "import time\ndef init(): time.sleep(60)\ndef run(data): return 1\n"
    configuration = AksWebservice.deploy_configuration()
    service = Model.deploy(ws, "slow", [], inference(folder, slow), configuration)
    with pytest.raises(WebserviceException, match=r"starting.* wait_for_deployment\(\)"):
        service.run("{}")
    with pytest.raises(WebserviceException, match="autoscale_enabled=False"):
        service.update(num_replicas=2)
    with pytest.raises(WebserviceException, match="autoscale_min_replicas 11 is more than"):
        service.update(autoscale_min_replicas=11)
    service.update(autoscale_enabled=False, num_replicas=2)
    with pytest.raises(WebserviceException, match="autoscale_enabled=True"):
        service.update(autoscale_max_replicas=1)
    service.delete()


def test_tags_change_and_properties_stay(instance: Webservice) -> None:
    instance.add_tags({"x": "1", "y": "2"})
    instance.remove_tags(["x"])
    instance.add_tags({"z": 3})  # pyright: ignore[reportArgumentType] - becomes text
    assert instance.tags == {"kind": "aci", "y": "2", "z": "3"}
    assert [one.name for one in Webservice.list(instance.workspace, tags=[["z", 3]])] == [  # pyright: ignore[reportArgumentType]
        instance.name
    ]
    with pytest.raises(WebserviceException, match="names with their values"):
        instance.add_tags(["x"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(WebserviceException, match="a key, or a key with its value"):
        Webservice.list(instance.workspace, tags=[3])  # pyright: ignore[reportArgumentType]
    instance.add_properties({"p": "1"})
    with pytest.raises(WebserviceException, match="added only"):
        instance.add_properties({"p": "2"})
    assert instance.properties == {"p": "1"}


def test_a_taken_name(place: _Place, instance: Webservice) -> None:
    ws, folder = place
    with pytest.raises(WebserviceException, match="overwrite=True"):
        Model.deploy(ws, instance.name, ["diabetes"], inference(folder))
    with pytest.raises(WebserviceException, match="overwrite=True"):
        Webservice.check_for_existing_webservice(ws, instance.name)
    with pytest.raises(WebserviceException, match="lower-case"):
        Model.deploy(ws, "No Name", ["diabetes"], inference(folder))


def test_a_model_in_use_stays(place: _Place, instance: Webservice) -> None:
    with pytest.raises(WebserviceException, match="as-instance") as raised:
        Model(place[0], "diabetes").delete()
    assert raised.value.http_status == 412


def test_a_local_service(place: _Place, capsys: pytest.CaptureFixture[str]) -> None:
    ws, folder = place
    script = inference(folder, ANSWERS.format("first"))
    service = Model.deploy(ws, "tried", [], script, LocalWebservice.deploy_configuration())
    assert isinstance(service, LocalWebservice)
    service.wait_for_deployment(show_output=True)
    assert "Succeeded" in capsys.readouterr().out
    assert service.state == "running"
    assert service.scoring_uri == f"http://127.0.0.1:{service.port}/score"
    assert service.run("{}") == "first"
    assert "tried" in [one.name for one in LocalWebservice.list(ws)]
    assert script.source_directory is not None
    Path(script.source_directory, "score.py").write_text(ANSWERS.format("second"))
    service.reload(wait=True)
    assert service.run("{}") == "second"
    score = Path(script.source_directory, "score.py")
    score.write_text(RAISES)
    with pytest.raises(WebserviceException, match="LookupError: no such weights"):
        service.reload()
    assert (service.state, service.run("{}")) == ("running", "second")
    assert "no such weights" in str(service.error)
    for answer in ("third", "fourth"):
        score.write_text(ANSWERS.format(answer))
        service.reload()
        assert service.run("{}") == answer  # at once
    assert service.error is None
    for refused in (service.get_keys, service.get_token, service.get_access_token):
        with pytest.raises(WebserviceException, match="a local one"):
            refused()
    moved = service.deploy_to_cloud(deployment_config=AciWebservice.deploy_configuration())
    moved.wait_for_deployment()
    assert (moved.name, moved.compute_type, moved.run("{}")) == ("tried-instance", "ACI", "fourth")
    moved.delete()
    service.delete()
    assert service.state == "deleted"
    assert service.name not in ws.webservices


def test_versions_share_the_requests_of_an_endpoint(place: _Place, cluster: Webservice) -> None:
    ws, folder = place
    configuration = AksEndpoint.deploy_configuration(
        num_replicas=1, auth_enabled=False, version_name="old", traffic_percentile=100
    )
    script = inference(folder, ANSWERS.format("old"))
    endpoint = Model.deploy(ws, "many", [], script, configuration)
    assert isinstance(endpoint, AksEndpoint)
    endpoint.create_version(
        "new", inference_config=inference(folder, ANSWERS.format("new")), traffic_percentile=30
    )
    endpoint.wait_for_deployment()
    shares = {name: one.traffic_percentile for name, one in endpoint.versions.items()}
    assert shares == {"old": 70, "new": 30}
    header: dict[str, Any] = {"x-calotype-version": "new"}
    assert called(endpoint.scoring_uri, **header).body == b'"new"'
    endpoint.update_version("new", traffic_percentile=0, scoring_timeout_ms=5000)
    endpoint.wait_for_deployment()
    assert {called(endpoint.scoring_uri).body for _ in range(5)} == {b'"old"'}
    endpoint.update_version("new", is_default=True)
    with pytest.raises(WebserviceException, match="default"):
        endpoint.delete_version("new")
    endpoint.delete_version("old")
    assert list(endpoint.versions) == ["new"]
    with pytest.raises(WebserviceException, match="percent"):
        endpoint.update_version("new", traffic_percentile=101)
    endpoint.delete()


def test_an_address_with_a_certificate(place: _Place, cluster: Webservice, tmp_path: Path) -> None:
    ws, _ = place
    authority = trustme.CA()
    certificate = authority.issue_cert("models.example", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    compute = ComputeTarget(ws, "this-machine")
    before = cluster.scoring_uri
    compute.update(
        AksUpdateConfiguration(SslConfiguration("Enabled", chain, key, "models.example"))
    )
    uri = cluster.scoring_uri
    assert uri is not None
    assert uri.startswith("https://models.example:")
    assert cluster.run(ROWS) == PUBLISHED
    compute.update(AksUpdateConfiguration(SslConfiguration("Disabled")))
    assert cluster.scoring_uri == before
    assert cluster.run(ROWS) == PUBLISHED


def test_deleting_twice(place: _Place) -> None:
    ws, folder = place
    service = Model.deploy(ws, "gone", [], inference(folder, ANSWERS.format(1)))
    service.delete()
    service.delete()
    with pytest.raises(WebserviceNotFound):
        _ = service.state


def _rows() -> bytes:
    return json.dumps(ROWS).encode()


def test_what_was_stopped_says_how_to_start_it(place: _Place, instance: Webservice) -> None:
    keeping.down(place[0])  # the last test: nothing runs after it
    with pytest.raises(WebserviceException, match=r"stopped\. `calotype up` starts it"):
        instance.run(ROWS)
