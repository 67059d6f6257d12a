"""The documents themselves: Swagger 2.0, OpenAPI 3.0 and 3.1 of one service.

Ids and names are those that clients were generated with from the retired service's documents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from calotype.serving.openapi.contract import BodyForm, QueryParameter, Schema, ServiceContract
from calotype.serving.openapi.schemas import in_openapi_3_0, in_openapi_3_1

Document = dict[str, Any]
Auth = Literal["none", "key", "token"]

_HEALTH = "Simple health check endpoint to ensure the service is up at any given point."
_HEALTHY = "If service is up and running, this response will be returned with the content 'Healthy'"
_RUN = "Run web service's model and get the prediction output"
_PAYLOAD = "The input payload for executing the real-time machine learning service."
_PREDICTED = (
    "The service processed the input correctly and provided a result prediction, if applicable."
)
_FAILED = "The service failed to execute due to an error."

_ERROR: Schema = {
    "type": "object",
    "properties": {
        "status_code": {"type": "integer", "format": "int32"},
        "message": {"type": "string"},
        "request_id": {"type": "string"},
    },
    "required": ["status_code", "message"],
    "example": {
        "status_code": 400,
        "message": "POST body should be a JSON dictionary.",
        "request_id": "2f0bba5e-4f0c-4b2b-9d5b-8f6f3a1c2d4e",
    },
}


@dataclass(frozen=True, slots=True)
class BaseAddress:
    """Where a service is reached.

    Attributes:
        scheme: http or https.
        host: name or address, with `:port` unless it is the scheme's own.
        base_path: the path before `/score`, without a slash at its end.
    """

    scheme: str
    host: str
    base_path: str = ""

    @property
    def url(self) -> str:
        """The address that paths of the document are appended to."""
        return f"{self.scheme}://{self.host}{self.base_path}"


@dataclass(frozen=True, slots=True)
class ServiceDescription:
    """All that a document tells beside its version and its address."""

    contract: ServiceContract
    name: str
    description: str
    auth: Auth

    @property
    def info(self) -> Document:
        """The head of the document."""
        return {"title": self.name, "description": self.description, "version": "1.0"}

    @property
    def of_score(self) -> str:
        """What `/score` does."""
        return f"{_RUN}. {self.contract.description}" if self.contract.description else _RUN


def swagger_2(service: ServiceDescription, base: BaseAddress) -> Document:
    """Return the Swagger 2.0 document."""
    failed = {"description": _FAILED, "schema": {"$ref": "#/definitions/ErrorResponse"}}
    healthy = {
        "description": _HEALTHY,
        "schema": {"type": "string"},
        "examples": {"text/plain": "Healthy", "application/json": "Healthy"},
    }
    predicted = {"description": _PREDICTED, "schema": {"$ref": "#/definitions/ServiceOutput"}}
    contract = service.contract
    document: Document = {"swagger": "2.0", "info": service.info, "schemes": [base.scheme]}
    # The schema of Swagger 2.0 has no place for an IPv6 address; without a host, clients take the
    # one that the document came from.
    if not base.host.startswith("["):
        document["host"] = base.host
    document |= {
        "basePath": base.base_path or "/",
        "consumes": ["application/json"],
        "produces": ["application/json"],
    }
    score: Document = {
        "operationId": "RunMLService",
        "description": " ".join([service.of_score, *_in_words(contract.forms)]),
    }
    if service.auth != "none":
        document["securityDefinitions"] = {"Bearer": _api_key(service.auth)}
        score["security"] = [{"Bearer": []}]
    score["parameters"] = [_body_parameter(contract), *map(_query_parameter_2, contract.query)]
    score["responses"] = {"200": predicted, "default": failed}
    health = {
        "operationId": "ServiceHealthCheck",
        "description": _HEALTH,
        "produces": ["text/plain", "application/json"],
        "responses": {"200": healthy, "default": failed},
    }
    document["paths"] = {"/": {"get": health}, "/score": {"post": score}}
    document["definitions"] = {
        "ServiceInput": contract.input,
        "ServiceOutput": contract.output,
        "ErrorResponse": _ERROR,
    }
    return document


def openapi_3_0(service: ServiceDescription, base: BaseAddress) -> Document:
    """Return the OpenAPI 3.0 document."""
    return _openapi_3("3.0.3", service, base, in_openapi_3_0)


def openapi_3_1(service: ServiceDescription, base: BaseAddress) -> Document:
    """Return the OpenAPI 3.1 document."""
    return _openapi_3("3.1.0", service, base, in_openapi_3_1)


def _openapi_3(
    version: str,
    service: ServiceDescription,
    base: BaseAddress,
    dialect: Callable[[Schema], Schema],
) -> Document:
    contract = service.contract
    failed = {"description": _FAILED, "content": _json(_reference("ErrorResponse"))}
    healthy = {
        "description": _HEALTHY,
        "content": {"text/plain": {"schema": {"type": "string"}, "example": "Healthy"}},
    }
    score: Document = {"operationId": "RunMLService", "description": service.of_score}
    components: Document = {"schemas": _schemas(contract, dialect)}
    if service.auth != "none":
        components["securitySchemes"] = {"Bearer": _bearer(service.auth)}
        score["security"] = [{"Bearer": []}]
    if contract.query:
        score["parameters"] = [_query_parameter_3(one, dialect) for one in contract.query]
    score["requestBody"] = {
        "description": " ".join([_PAYLOAD, *_in_words(contract.forms)]),
        "required": contract.is_described,
        "content": _contents(contract.forms),
    }
    outputs = ["ServiceOutput", *(_output_name(one) for one in contract.forms if one.output)]
    predicted = {"description": _PREDICTED, "content": _json(_any_of(outputs))}
    score["responses"] = {"200": predicted, "default": failed}
    health = {
        "operationId": "ServiceHealthCheck",
        "description": _HEALTH,
        "responses": {"200": healthy, "default": failed},
    }
    return {
        "openapi": version,
        "info": service.info,
        "servers": [{"url": base.url}],
        "paths": {"/": {"get": health}, "/score": {"post": score}},
        "components": components,
    }


def _schemas(contract: ServiceContract, dialect: Callable[[Schema], Schema]) -> Document:
    schemas = {"ServiceInput": contract.input, "ServiceOutput": contract.output}
    for form in contract.forms:
        schemas[form.name] = form.schema
        if form.output:
            schemas[_output_name(form)] = form.output
    schemas["ErrorResponse"] = _ERROR
    return {name: dialect(schema) for name, schema in schemas.items()}


def _contents(forms: tuple[BodyForm, ...]) -> Document:
    names: dict[str, list[str]] = {"application/json": ["ServiceInput"]}
    for form in forms:
        names.setdefault(form.content_type, []).append(form.name)
    return {content_type: {"schema": _any_of(some)} for content_type, some in names.items()}


def _output_name(form: BodyForm) -> str:
    return form.name.removesuffix("Input") + "Output"


def _any_of(names: list[str]) -> Schema:
    references = [_reference(name) for name in names]
    return references[0] if len(references) == 1 else {"anyOf": references}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Schema) -> Document:
    return {"application/json": {"schema": schema}}


def _in_words(forms: tuple[BodyForm, ...]) -> list[str]:
    return [f"{form.content_type}: {form.description}" for form in forms]


def _body_parameter(contract: ServiceContract) -> Document:
    return {
        "name": "serviceInputPayload",
        "in": "body",
        "description": _PAYLOAD,
        "required": contract.is_described,
        "schema": {"$ref": "#/definitions/ServiceInput"},
    }


def _query_parameter_2(parameter: QueryParameter) -> Document:
    head = {"name": parameter.name, "in": "query", "description": parameter.description}
    return {**head, "required": False, **parameter.schema}


def _query_parameter_3(parameter: QueryParameter, dialect: Callable[[Schema], Schema]) -> Document:
    head = {"name": parameter.name, "in": "query", "description": parameter.description}
    return {**head, "required": False, "schema": dialect(parameter.schema)}


def _api_key(auth: Auth) -> Document:
    what = "the token" if auth == "token" else "the key"
    return {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "description": f"The word Bearer, a space, and {what}. For example: Bearer abc123",
    }


def _bearer(auth: Auth) -> Document:
    scheme = {"type": "http", "scheme": "bearer", "description": "For example: Bearer abc123"}
    return {**scheme, "bearerFormat": "JWT"} if auth == "token" else scheme
