"""Deployment configurations: what they refuse, what they become, and their documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.azureml.core.webservice import (
    AciWebservice,
    AksEndpoint,
    AksWebservice,
    LocalWebservice,
)
from calotype.azureml.exceptions import WebserviceException
from calotype.webservice.cluster_configuration import ClusterConfiguration
from calotype.webservice.deployment_documents import configuration_of, document_of
from calotype.webservice.unsupported import UNSUPPORTED, NoMeaningHere
from calotype.workspace.service_settings import RuntimeSettings

cluster = AksWebservice.deploy_configuration
instance = AciWebservice.deploy_configuration


def test_defaults_are_the_documented_ones() -> None:
    made = cluster()
    runtime = made.runtime()
    assert runtime == RuntimeSettings()
    assert (runtime.cpu_cores, runtime.memory_gb, runtime.gpu_cores) == (0.1, 0.5, 0)
    assert (runtime.scoring_timeout_ms, runtime.max_request_wait_ms) == (60_000, 500)
    assert (runtime.autoscale_min_replicas, runtime.autoscale_max_replicas) == (1, 10)
    assert (runtime.autoscale_target_utilization, runtime.autoscale_refresh_s) == (70, 1)
    assert (runtime.probe_period_s, runtime.probe_initial_delay_s) == (10, 310)
    assert runtime.autoscales
    assert made.auth == instance().auth == ""  # what is usual for the target
    assert instance().runtime().num_replicas == 1


def test_a_cluster_tells_all_faults_at_once() -> None:
    with pytest.raises(WebserviceException) as raised:
        cluster(
            cpu_cores=0,
            memory_gb=2,
            memory_gb_limit=1,
            autoscale_min_replicas=3,
            autoscale_max_replicas=2,
            num_replicas=2,
            autoscale_enabled=True,
            auth_enabled=True,
            token_auth_enabled=True,
            namespace="Not_One",
            tags={"a": 1},  # pyright: ignore[reportArgumentType]
        )
    for clause in (
        "cpu_cores must be a number greater than 0, not 0",
        "memory_gb_limit must be at least memory_gb (2), not 1",
        "autoscale_min_replicas (3) must not exceed autoscale_max_replicas (2)",
        "num_replicas cannot be given with autoscale",
        "auth_enabled and token_auth_enabled cannot both be True",
        "namespace must be up to 63",
        "tags must be a dictionary of texts",
    ):
        assert clause in raised.value.message


def test_an_instance_tells_the_first_fault() -> None:
    with pytest.raises(WebserviceException) as raised:
        instance(cpu_cores=-1, memory_gb=-1, ssl_enabled=True)
    assert "cpu_cores" in raised.value.message
    assert "memory_gb" not in raised.value.message
    assert "ssl" not in raised.value.message


@pytest.mark.parametrize(
    ("values", "clause"),
    [
        ({"autoscale_enabled": False}, "num_replicas must be given"),
        ({"autoscale_enabled": False, "autoscale_max_replicas": 2}, "cannot be given with"),
        ({"autoscale_max_replicas": 2, "num_replicas": 2}, "num_replicas cannot be given"),
        ({"cpu_cores_limit": 1}, "cpu_cores must be given with cpu_cores_limit"),
        ({"gpu_cores": -1}, "gpu_cores"),
        ({"num_replicas": True}, "num_replicas"),
        ({"num_replicas": 1.5}, "num_replicas"),
        ({"autoscale_target_utilization": 101}, "0 to 100"),
        ({"max_request_wait_time": 0}, "max_request_wait_time"),
        ({"primary_key": "a" * 9, "token_auth_enabled": True}, "primary_key cannot be given"),
        ({"precision": "fp8"}, "precision must be"),
    ],
)
def test_a_cluster_refuses(values: dict[str, Any], clause: str) -> None:
    with pytest.raises(WebserviceException, match=clause):
        cluster(**values)


@pytest.mark.parametrize(
    ("values", "clause"),
    [
        ({"ssl_enabled": True}, "ssl_cert_pem_file, ssl_key_pem_file, ssl_cname"),
        ({"ssl_cert_pem_file": "absent.pem"}, "there is no file absent.pem"),
        ({"vnet_name": "net"}, "subnet_name is missing"),
        ({"cmk_key_name": "key"}, "cmk_vault_base_url, cmk_key_version is missing"),
        ({"memory_gb": 0}, "memory_gb must be"),
    ],
)
def test_an_instance_refuses(values: dict[str, Any], clause: str) -> None:
    with pytest.raises(WebserviceException, match=clause):
        instance(**values)


def test_gpu_cores_may_be_none() -> None:
    assert cluster(gpu_cores=0).runtime().gpu_cores == 0


@pytest.mark.parametrize("port", [-1, 70000, "80", True])
def test_a_port_that_is_none(port: Any) -> None:
    with pytest.raises(WebserviceException, match="port"):
        LocalWebservice.deploy_configuration(port)


@pytest.mark.parametrize("name", ["Two", "-a", "a" * 33, ""])
def test_a_version_needs_a_name(name: str) -> None:
    with pytest.raises(WebserviceException, match="version_name"):
        AksEndpoint.deploy_configuration(version_name=name)


@pytest.mark.parametrize(
    "values",
    [
        {"location": "west", "dns_name_label": "mine"},
        {"vnet_name": "a", "subnet_name": "b"},
    ],
)
def test_what_has_no_meaning_brings_a_warning(values: dict[str, Any]) -> None:
    with pytest.warns(NoMeaningHere) as warned:
        instance(**values)
    told = str(warned[0].message)
    name = next(iter(values))
    assert told.startswith(f"'{name}'")
    assert f"nothing here. {UNSUPPORTED[name].why}" in told
    assert warned[0].filename == __file__


def test_tls_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cert.pem", "key.pem"):
        Path(name).touch()
    made = instance(
        ssl_enabled=True, ssl_cert_pem_file="cert.pem", ssl_key_pem_file="key.pem", ssl_cname="a.b"
    )
    access = made.access()
    assert (access.tls_certificate, access.cname) == (str(tmp_path / "cert.pem"), "a.b")
    document = document_of(made)
    monkeypatch.chdir("/")
    read = configuration_of(document, folder=tmp_path).access()
    assert read == access


def test_what_an_access_does_not_say_stays_unsaid() -> None:
    assert cluster().access().model_fields_set == set()
    assert cluster(auth_enabled=False).access().auth == "none"
    assert instance(auth_enabled=True).access().auth == "key"
    assert cluster(token_auth_enabled=True).access().auth == "token"


def test_a_document_as_the_retired_command_took_it() -> None:
    read = configuration_of(
        {
            "computeType": "aks",
            "autoScaler": {"autoscaleEnabled": True, "minReplicas": 1, "maxReplicas": 3,
                           "refreshPeriodInSeconds": 1, "targetUtilization": 70},
            "dataCollection": {"storageEnabled": True},
            "authEnabled": True,
            "containerResourceRequirements": {"cpu": 0.5, "memoryInGB": 1.0},
            "appInsightsEnabled": False,
            "scoringTimeoutMs": 5000,
            "maxConcurrentRequestsPerContainer": 2,
            "maxQueueWaitMs": 100,
            "livenessProbeRequirements": {"periodSeconds": 5},
            "keys": {"primaryKey": "one-of-mine", "secondaryKey": "two-of-mine"},
            "tags": {"maxReplicas": "a tag may be called so"},
        }
    )  # fmt: skip
    assert isinstance(read, ClusterConfiguration)
    runtime = read.runtime()
    assert (runtime.autoscale_max_replicas, runtime.max_request_wait_ms) == (3, 100)
    assert (runtime.collect_model_data, runtime.probe_period_s) == (True, 5)
    assert (read.primary_key, read.tags) == (
        "one-of-mine",
        {"maxReplicas": "a tag may be called so"},
    )


def test_all_faults_of_a_document_are_told_at_once() -> None:
    with pytest.raises(WebserviceException) as raised:
        configuration_of(
            {
                "computeType": "ACI",
                "cpu": 1,
                "tokenAuthEnabled": True,
                "containerResourceRequirements": {"memoryInGB": "much"},
                "sslEnabled": True,
            },
            where="dc.json",
        )
    message = raised.value.message
    assert "dc.json" in message
    assert "tokenAuthEnabled is not for ACI" in message
    assert "cpu is not known" in message
    key = "containerResourceRequirements.memoryInGB"
    assert f"{key} must be a number greater than 0, not 'much'" in message
    assert "cname must be given with sslEnabled true" in message
    assert "ssl_" not in message


def test_a_document_of_no_kind() -> None:
    with pytest.raises(WebserviceException, match="computeType must be one of local, instance"):
        configuration_of({"computeType": "fpga"})


def test_keys_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    made = cluster(primary_key="very-secret", num_replicas=2)
    made.print_deploy_configuration()
    printed = capsys.readouterr().out
    assert json.loads(printed)["numReplicas"] == 2
    assert "very-secret" not in printed + repr(made)


_NUMBERS = st.none() | st.integers(1, 100)


@given(
    st.fixed_dictionaries(
        {
            "cpu_cores": st.none() | st.floats(0.1, 8),
            "scoring_timeout_ms": _NUMBERS,
            "num_replicas": _NUMBERS,
            "auth_enabled": st.none() | st.booleans(),
            "tags": st.none() | st.dictionaries(st.text(), st.text()),
            "description": st.none() | st.text(),
            "failure_threshold": _NUMBERS,
            "cors_origins": st.none() | st.lists(st.text()),
        }
    )
)
def test_documents_and_configurations_are_each_others_reverse(values: dict[str, Any]) -> None:
    made = cluster(**values)
    document = json.loads(json.dumps(document_of(made)))
    assert configuration_of(document) == made
