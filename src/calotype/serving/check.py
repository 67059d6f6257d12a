"""Calls a running service as a client would, and says what such a client will stumble over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from calotype import errors
from calotype.serving.document_check import document_findings, schemas_of, takes_json_of
from calotype.serving.findings import Finding
from calotype.serving.http_client import HttpClient, Reply
from calotype.serving.openapi.contract import ALL_VERSIONS
from calotype.serving.openapi.schemas import mismatch
from calotype.serving.power_bi import power_bi_findings

_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found at a scoring URI, in the order in which it was looked at."""

    uri: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is an error; notes and warnings may be there."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """The findings as rows of a table: severity, subject, message, fix."""
        return [finding.row for finding in self.findings]


def sibling(scoring_uri: str, name: str) -> str:
    """Return the URI beside a scoring URI.

    >>> sibling("http://host/api/v1/service/a/score", "swagger.json")
    'http://host/api/v1/service/a/swagger.json'
    >>> sibling("http://host:5001/score", "")
    'http://host:5001/'
    """
    parts = urlsplit(scoring_uri)
    folder = parts.path.rstrip("/").rsplit("/", 1)[0]
    return urlunsplit((parts.scheme, parts.netloc, f"{folder}/{name}", "", ""))


def check(
    uri: str,
    *,
    credential: str | None = None,
    power_bi: bool = False,
    http: HttpClient | None = None,
) -> CheckReport:
    """Call a service and check health, documents, its own example, and the shape for Power BI.

    Args:
        uri: the scoring URI, such as `http://127.0.0.1:5001/score`.
        credential: key or token; sent to this service only, and in no finding.
        power_bi: whether it is an error, and not only worth a note, when Power BI cannot use it.
        http: the client; one with the usual limits when left out.

    Raises:
        UnparsableValue: the URI is none.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise errors.UnparsableValue(
            "expected an address with http or https",
            where="parameter 'uri'",
            got=uri,
            action="Give the scoring URI, such as http://127.0.0.1:5001/score.",
        )
    return CheckReport(uri, tuple(_Visit(uri, credential, power_bi, http or HttpClient()).all()))


class _Visit:
    """One check of one service."""

    def __init__(self, uri: str, credential: str | None, power_bi: bool, http: HttpClient) -> None:
        self._uri = uri
        self._headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        self._needs_power_bi = power_bi
        self._http = http

    def all(self) -> list[Finding]:
        """Return all findings; when there is no connection, that alone."""
        try:
            found = [self._health()]
            documents = {number: self._document(number, found) for number in ALL_VERSIONS}
            usable = {number: one for number, one in documents.items() if one is not None}
            best = usable.get("2") or usable.get("3") or usable.get("3.1")
            try:
                for number, document in usable.items():
                    found += document_findings(number, document, self._uri)
                if best is not None:
                    found += self._example(best)
                if "2" in usable:
                    found += self._power_bi(usable["2"])
            except (AttributeError, TypeError, RecursionError):  # lists where objects should be
                fix = "Correct your own swagger file with a validator of OpenAPI documents."
                found.append(Finding("error", "swagger", "it is no OpenAPI document", fix))
        except errors.OperationFailed as error:
            return [Finding("error", "connection", f"{error.expected}: {error.got}", error.action)]
        return found

    def _get(self, uri: str) -> Reply:
        return self._http.request("GET", uri, self._headers)

    def _health(self) -> Finding:
        reply = self._get(sibling(self._uri, ""))
        if reply.status == 200 and b"Healthy" in reply.body:
            return Finding("ok", "health", f"Healthy, in {reply.elapsed_ms:.0f} ms")
        fix = "Wait until the service is ready; its log says what it is doing."
        return Finding("error", "health", f"GET / gave {reply.status}: {_shown(reply.body)}", fix)

    def _document(self, number: str, found: list[Finding]) -> dict[str, Any] | None:
        subject = f"swagger {number}"
        reply = self._get(sibling(self._uri, f"swagger.json?version={number}"))
        if reply.status in (401, 403):
            found.append(_refused(subject, reply))
            return None
        if reply.status == 404 and b"not supported for the scoring script" in reply.body:
            fix = "Give all items of a list in the samples of score.py one type."
            message = "this version cannot express the samples of the script"
            found.append(Finding("warning", subject, message, fix))
            return None
        try:
            document = json.loads(reply.body) if reply.status == 200 else None
        except ValueError:
            document = None
        if isinstance(document, dict):
            return document
        fix = "Is this the scoring URI of a Calotype service?"
        message = f"no document: {reply.status}: {_shown(reply.body)}"
        found.append(Finding("error", subject, message, fix))
        return None

    def _example(self, document: Mapping[str, Any]) -> list[Finding]:
        takes, gives = takes_json_of(document)
        example = takes.get("example", (takes.get("examples") or [None])[0])
        if not takes.get("properties") or example is None:
            fix = "Declare samples with @input_schema and @output_schema in score.py."
            return [Finding("warning", "example", "the document has none to try", fix)]
        headers = {**self._headers, "Content-Type": "application/json"}
        reply = self._http.request("POST", self._uri, headers, json.dumps(example).encode())
        if reply.status in (401, 403):
            return [_refused("example", reply)]
        if reply.status != 200:
            fix = "Send the same example yourself and read the log under the request id."
            message = f"POST of the example gave {reply.status}: {_shown(reply.body)}"
            return [Finding("error", "example", message, fix)]
        return _of_reply(reply, gives, schemas_of(document))

    def _power_bi(self, document: Mapping[str, Any]) -> list[Finding]:
        found = power_bi_findings(document)
        if not found:
            return [Finding("ok", "Power BI", "it can use this service")]
        if self._needs_power_bi:
            return found
        message = f"only for Power BI: it cannot call this service, {found[0].message}"
        return [Finding("note", "Power BI", message)]


def _of_reply(reply: Reply, gives: dict[str, Any], definitions: Mapping[str, Any]) -> list[Finding]:
    try:
        value = json.loads(reply.body, parse_constant=_refuse_constant)
    except ValueError as error:
        fix = "Return numbers that JSON knows: replace NaN and infinity by None."
        return [Finding("error", "reply", f"it is not JSON: {error}", fix)]
    if isinstance(value, str) and _is_document(value):
        fix = "Return the list or dict itself from run, not json.dumps(...) of it."
        return [Finding("warning", "reply", "it is JSON inside a JSON text", fix)]
    reason = mismatch(value, gives, definitions)
    if reason:
        fix = "Make the sample of @output_schema like what run returns."
        return [Finding("error", "reply", f"it does not fit its schema: {reason}", fix)]
    return [Finding("ok", "example", f"200 and as declared, in {reply.elapsed_ms:.0f} ms")]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _is_document(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


def _refused(subject: str, reply: Reply) -> Finding:
    fix = "Give the key or a fresh token of this service."
    return Finding("error", subject, f"{reply.status}: {_shown(reply.body)}", fix)


def _shown(body: bytes) -> str:
    """Return the message of an error answer, or the beginning of anything else."""
    text = _message(body) or body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace")
    text = "".join(one if one.isprintable() else " " for one in text)
    return text[:_SHOWN_CHARACTERS] + ("…" if len(text) > _SHOWN_CHARACTERS else "")


def _message(body: bytes) -> str | None:
    try:
        message = json.loads(body)["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return message if isinstance(message, str) else None
