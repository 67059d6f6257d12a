"""The documents: as the published one, valid, at the right address, and the user's own first."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from described_services import DATA, VERSIONS, diabetes_contract, services
from openapi_spec_validator import validate

from calotype import errors
from calotype.serving.openapi.builders import BaseAddress
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.openapi.documents import Documents
from calotype.serving.openapi.own_documents import OwnDocuments
from calotype.serving.openapi.schemas import mismatch
from calotype.serving.refusals import Refusal

KINDS = ("diabetes", "image", "generic")
BASE = BaseAddress("http", "127.0.0.1:5001")


def rendered(kind: str, version: str) -> dict[str, Any]:
    return json.loads(services()[kind].document(version))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_document_is_the_golden_file_and_valid(kind: str, version: str) -> None:
    document = rendered(kind, version)
    assert document == json.loads((DATA / f"{kind}_{version}.json").read_text())
    validate(document)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_examples_fit_their_schemas(kind: str, version: str) -> None:
    document = rendered(kind, version)
    schemas = document.get("definitions") or document["components"]["schemas"]
    seen = 0
    for schema in schemas.values():
        for example in schema.get("examples", [schema["example"]] if "example" in schema else []):
            assert mismatch(example, schema, schemas) == ""
            seen += 1
    assert seen >= 3


def test_swagger_2_has_all_of_the_published_document() -> None:
    def lacks(ours: Any, published: Any, where: str) -> list[str]:
        if isinstance(published, dict):
            return [
                reason
                for key, part in published.items()
                for reason in (
                    lacks(ours[key], part, f"{where}.{key}") if key in ours else [f"{where}.{key}"]
                )
            ]
        return [] if ours == published else [f"{where}: {ours!r}"]

    published = {
        "swagger": "2.0",
        "info": {"title": "myservice", "version": "1.0"},
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {
            "Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}
        },
        "paths": {
            "/": {
                "get": {
                    "operationId": "ServiceHealthCheck",
                    "responses": {
                        "200": {
                            "schema": {"type": "string"},
                            "examples": {"application/json": "Healthy"},
                        },
                        "default": {"schema": {"$ref": "#/definitions/ErrorResponse"}},
                    },
                }
            },
            "/score": {
                "post": {
                    "operationId": "RunMLService",
                    "security": [{"Bearer": []}],
                    "responses": {
                        "200": {"schema": {"$ref": "#/definitions/ServiceOutput"}},
                        "default": {"schema": {"$ref": "#/definitions/ErrorResponse"}},
                    },
                }
            },
        },
        "definitions": {
            "ServiceInput": {
                "type": "object",
                "properties": {
                    "data": {
                        "type": "array",
                        "items": {
                            "type": "array",
                            "items": {"type": "integer", "format": "int64"},
                        },
                    }
                },
                "example": {"data": [[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]]},
            },
            "ServiceOutput": {
                "type": "array",
                "items": {"type": "number", "format": "double"},
                "example": [3726.995],
            },
            "ErrorResponse": {
                "type": "object",
                "properties": {
                    "status_code": {"type": "integer", "format": "int32"},
                    "message": {"type": "string"},
                },
            },
        },
    }
    document = rendered("diabetes", "2")
    assert lacks(document, published, "$") == []
    parameter = document["paths"]["/score"]["post"]["parameters"][0]
    assert (parameter["name"], parameter["in"]) == ("serviceInputPayload", "body")
    assert parameter["schema"] == {"$ref": "#/definitions/ServiceInput"}


@pytest.mark.parametrize("version", VERSIONS)
def test_security_is_told_only_when_something_has_to_be_shown(version: str) -> None:
    assert "earer" not in services()["generic"].document(version).decode()
    assert "Bearer" in services()["image"].document(version).decode()


def test_all_names_of_a_version_give_the_same_document() -> None:
    documents = services()["diabetes"]
    assert documents.document() == documents.document("2") == documents.document("2.0")
    assert documents.document("3") == documents.document("3.0")
    assert json.loads(documents.document("3"))["openapi"] == "3.0.3"
    assert json.loads(documents.document("3.1"))["openapi"] == "3.1.0"


@pytest.mark.parametrize("version", ["4", "", "2.1", "03"])
def test_unknown_version_is_refused_in_the_known_words(version: str) -> None:
    words = f"Swagger version [{version}] is not valid. Supported versions: [2, 3, 3.1]."
    with pytest.raises(Refusal, match=f"^{re.escape(words)}$") as refused:
        services()["diabetes"].document(version)
    assert refused.value.status == 404


def test_version_that_cannot_express_the_schema_is_refused_in_the_known_words() -> None:
    documents = Documents(ServiceContract(versions=("3", "3.1")), name="mixed", base=BASE)
    words = (
        "Swagger version [2] is not supported for the scoring script. "
        "Supported swagger versions: [3, 3.1]."
    )
    with pytest.raises(Refusal, match=re.escape(words)) as refused:
        documents.document()
    assert refused.value.status == 404
    assert json.loads(documents.document("3"))["openapi"] == "3.0.3"


def test_address_is_the_one_that_the_caller_used() -> None:
    documents = Documents(ServiceContract(), name="plain", base=BASE)
    base = documents.base_of("https", b"models.example.org:443", "/api/v1/service/plain")
    document = json.loads(documents.document("2", base))
    assert document["schemes"] == ["https"]
    assert document["host"] == "models.example.org"
    assert document["basePath"] == "/api/v1/service/plain"
    document = json.loads(documents.document("3", base))
    assert document["servers"] == [{"url": "https://models.example.org/api/v1/service/plain"}]


def test_address_of_ipv6_stays_valid() -> None:
    documents = Documents(ServiceContract(), name="plain", base=BASE)
    base = documents.base_of("http", b"[::1]:5001")
    validate(json.loads(documents.document("2", base)))
    assert json.loads(documents.document("3", base))["servers"][0]["url"] == "http://[::1]:5001"


@pytest.mark.parametrize(
    "host",
    [
        None,
        b"",
        b'a"b',
        b"a b",
        b"evil/path",
        b"user@evil",
        b"a\r\nb",
        b"a{x}",
        b"h:999999",
        b"\xff",
    ],
)
def test_host_that_is_no_host_never_enters_the_document(host: bytes | None) -> None:
    documents = Documents(ServiceContract(), name="plain", base=BASE)
    document = json.loads(documents.document("2", documents.base_of("http", host)))
    assert document["host"] == "127.0.0.1:5001"


def test_made_up_hosts_do_not_fill_the_memory() -> None:
    documents = Documents(ServiceContract(), name="plain", base=BASE)
    for number in range(1000):
        documents.document("2", documents.base_of("http", b"host%d" % number))
    kept: dict[object, bytes] = getattr(documents, "_kept")  # noqa: B009
    assert len(kept) <= 32


def test_own_documents_win(tmp_path: Path) -> None:
    (tmp_path / "swagger.json").write_text('{"swagger": "2.0", "mine": true}')
    (tmp_path / "swagger3.json").write_text('{"openapi": "3.0.3", "mine": true}')
    documents = Documents(
        ServiceContract(versions=()), name="own", base=BASE, own=OwnDocuments.load(tmp_path)
    )
    assert json.loads(documents.document())["swagger"] == "2.0"
    assert documents.document("3") == documents.document("3.1")
    assert json.loads(documents.document("3"))["mine"] is True


def test_only_the_version_that_the_user_wrote_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "swagger2.json").write_text('{"swagger": "2.0", "mine": true}')
    documents = Documents(
        diabetes_contract(), name="own", base=BASE, own=OwnDocuments.load(tmp_path)
    )
    assert "mine" in json.loads(documents.document("2"))
    assert "mine" not in json.loads(documents.document("3"))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"openapi": "3.0.3"}', "{", '"swagger"'])
def test_own_document_that_is_none_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "swagger.json").write_text(content)
    with pytest.raises(errors.UnparsableFile, match=r"swagger\.json: expected a JSON object"):
        OwnDocuments.load(tmp_path)


def test_contract_survives_json() -> None:
    contract = diabetes_contract()
    assert ServiceContract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract
    assert contract.required == ("data",)
