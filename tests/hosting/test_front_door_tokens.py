"""Tokens over plain HTTP, and the keys that verify them."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from doors import Door, Reply, check_error, door, record

from calotype.hosting.routes import ServiceRoute
from calotype.serving.auth.tokens import by_id, jwks
from calotype.workspace.credentials import Credentials
from calotype.workspace.service_settings import AccessSettings

SCRIPT = "def init():\n    pass\n\n\ndef run(data):\n    return 1\n"
BASE = "/api/v1/service/"


def add(made: Door, name: str, auth: Any, key: Ed25519PrivateKey) -> None:
    """Register a service whose tokens `key` signs."""
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    credentials = Credentials("p" * 32, "s" * 32, pem.decode())
    sealed = credentials.sealed(made.workspace.key_file)
    made.workspace.services.add(record(name, AccessSettings(auth=auth), sealed))


@pytest.fixture(scope="module")
def keys() -> dict[str, Ed25519PrivateKey]:
    return {name: Ed25519PrivateKey.generate() for name in ("tokens", "other")}


@pytest.fixture(scope="module")
def served(keys: dict[str, Ed25519PrivateKey]) -> Generator[Door]:
    with door() as made:
        for name, key in keys.items():
            add(made, name, "token", key)
        add(made, "plain", "key", Ed25519PrivateKey.generate())
        documents = {name: jwks(by_id(key.public_key())) for name, key in keys.items()}
        made.script_replica(
            "a",
            SCRIPT,
            {"name": "tokens", "auth": "token"},
            token_keys=json.dumps(documents["tokens"]),
        )
        made.services["tokens"] = ServiceRoute(
            {"default": made.route("a")}, token_keys=documents["tokens"]
        )
        made.services["other"] = ServiceRoute(
            {"default": made.route()}, token_keys=documents["other"]
        )
        made.write()
        made.start()
        yield made


def ask_token(made: Door, name: str, credential: str | None, **headers: str) -> Reply:
    if credential is not None:
        headers["authorization"] = f"Bearer {credential}"
    return made.ask("POST", f"{BASE}{name}/token", None, headers)


def test_token_opens_its_service_and_no_other(served: Door) -> None:
    reply = ask_token(served, "tokens", served.workspace.management_key)
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"
    document = reply.json
    assert set(document) == {"access_token", "token_type", "refresh_after", "expiry_on"}
    assert document["token_type"] == "Bearer"  # noqa: S105 - no password
    now = time.time()
    assert now + 3500 < document["expiry_on"] < now + 3700
    assert now < document["refresh_after"] < document["expiry_on"]
    bearer = {"authorization": f"Bearer {document['access_token']}"}
    path = f"{BASE}tokens/score"
    assert served.ask("POST", path, "x", bearer).status == 200
    check_error(served.ask("POST", path, "x"), 401)
    other = ask_token(served, "other", served.workspace.management_key).json["access_token"]
    check_error(served.ask("POST", path, "x", {"authorization": f"Bearer {other}"}), 401)


def test_issue_is_audited(served: Door) -> None:
    reply = ask_token(served, "tokens", served.workspace.management_key, **{"x-request-id": "r7"})
    assert reply.headers["x-request-id"] == "r7"
    entry = served.workspace.audit.list(subject="tokens")[0]
    assert (entry.action, entry.details["request_id"]) == ("service.token", "r7")
    assert reply.json["access_token"] not in str(entry)


def test_public_keys_of_all_services(served: Door) -> None:
    token = ask_token(served, "other", served.workspace.management_key).json["access_token"]
    document = served.ask("GET", "/.well-known/jwks.json").json
    assert len(document["keys"]) == 2
    found = jwt.PyJWKSet.from_dict(document)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, found, algorithms=["EdDSA"], audience="other", issuer="calotype")
    assert claims["aud"] == "other"


def test_refusals(served: Door) -> None:
    key = served.workspace.management_key
    missing = ask_token(served, "tokens", None)
    assert "management key" in check_error(missing, 401)
    assert missing.headers["www-authenticate"] == "Bearer"
    check_error(served.ask("GET", f"{BASE}tokens/token"), 405)
    assert "no service of that name" in check_error(ask_token(served, "none", key), 404)
    assert "takes tokens" in check_error(ask_token(served, "plain", key), 400)
    # Whoever has no key does not learn which services there are.
    check_error(ask_token(served, "none", "wrong"), 401)
    assert key not in served.log()


def test_guesses_are_limited_and_the_right_key_works_on(served: Door) -> None:
    replies = [ask_token(served, "tokens", f"guess {index}") for index in range(25)]
    assert "429" in {str(reply.status) for reply in replies}
    assert int(replies[-1].headers["retry-after"]) > 0
    check_error(replies[-1], 429)
    assert ask_token(served, "tokens", served.workspace.management_key).status == 200
