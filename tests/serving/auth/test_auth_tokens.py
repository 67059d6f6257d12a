"""Tokens: what is let in, for how long, and what every forgery gets."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from calotype import errors
from calotype.serving.auth import tokens
from calotype.serving.auth.authenticator import TokenAuth
from calotype.serving.auth.guesses import Guesses
from calotype.serving.auth.tokens import TokenIssuer, TokenVerifier
from calotype.serving.refusals import Refusal

START_S = 1_800_000_000.0
KEY = Ed25519PrivateKey.generate()
CLAIMS = {"iss": "calotype", "aud": "flowers", "iat": START_S, "exp": START_S + 60, "jti": "1"}


class Clock:
    now_s = START_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(clock: Clock) -> TokenVerifier:
    keys = tokens.by_id(KEY.public_key())
    return TokenVerifier(keys, audience="flowers", issuer="calotype", clock=clock)


def signed(key: Any = KEY, *, algorithm: str = "EdDSA", kid: str = "", **changes: Any) -> bytes:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    headers = {"kid": kid or tokens.key_id(KEY.public_key())}
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers).encode()


def refused(verifier: TokenVerifier, token: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        verifier.verify(token)
    return caught.value


def test_an_issued_token_is_valid_for_its_hour(clock: Clock, verifier: TokenVerifier) -> None:
    issued = TokenIssuer(KEY, service="flowers", issuer="calotype", clock=clock).issue()
    assert issued.expires_at.timestamp() == START_S + 3600
    assert issued.refresh_by.timestamp() == START_S + 3000
    assert issued.token not in repr(issued)
    for elapsed_s in (0, 1, 3600, 3609):
        clock.now_s = START_S + elapsed_s
        verifier.verify(issued.token.encode())
    clock.now_s = START_S + 3610  # it was remembered as valid, and is over all the same
    assert refused(verifier, issued.token.encode()).status == 401


def test_a_token_of_another_service_gets_403(verifier: TokenVerifier) -> None:
    for _ in range(2):
        assert refused(verifier, signed(aud="birds")).status == 403


def test_what_another_service_signed_opens_nothing(clock: Clock) -> None:
    other, revoked = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    verifier = TokenVerifier(
        tokens.by_id(KEY.public_key()),
        audience="flowers",
        issuer="calotype",
        other_keys=tokens.by_id(other.public_key()),
        clock=clock,
    )
    known, unknown = (tokens.key_id(key.public_key()) for key in (other, revoked))
    assert refused(verifier, signed(other, kid=known, aud="birds")).status == 403
    assert refused(verifier, signed(other, kid=known, aud="flowers")).status == 401
    assert refused(verifier, signed(other, kid=known, aud="birds", exp=START_S - 60)).status == 401
    assert refused(verifier, signed(other, aud="birds")).status == 401  # under our key's name
    assert refused(verifier, signed(revoked, kid=known, aud="birds")).status == 401
    assert refused(verifier, signed(revoked, kid=unknown, aud="birds")).status == 401
    verifier.verify(signed())


FORGED = {
    "another key": signed(Ed25519PrivateKey.generate()),
    "unknown kid": signed(kid="other"),
    "HMAC with the public key": signed("public" * 8, algorithm="HS256"),
    "no signature": jwt.encode(CLAIMS, "", algorithm="none").encode(),
    "another issuer": signed(iss="somebody"),
    "no audience": signed(aud=None),
    "no end": signed(exp=None),
    "no beginning": signed(iat=None),
    "end is text": signed(exp="never"),
    "end is true": signed(exp=True),
    "from the future": signed(iat=START_S + 100),
    "expired": signed(exp=START_S - 100),
    "cut": signed()[:-4],
    "key instead": b"calotype_abcdefg",
    "not ASCII": b"\xff.\xff.\xff",
    "long": b"a" * 100_000,
    "kid is a list": b".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=")
        for part in (json.dumps({"alg": "EdDSA", "kid": []}).encode(), b"{}", b"x")
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_and_expired_tokens_get_401(verifier: TokenVerifier, name: str) -> None:
    refusal = refused(verifier, FORGED[name])
    assert refusal.status == 401
    assert refusal.headers[0][0] == b"www-authenticate"
    assert FORGED[name].decode("latin-1") not in refusal.message


def test_only_guesses_are_counted(clock: Clock, verifier: TokenVerifier) -> None:
    auth = TokenAuth(verifier, Guesses(0))
    statuses: list[int] = []
    for token in (signed(exp=START_S - 100), signed(aud="birds"), b"guess"):
        with pytest.raises(Refusal) as caught:
            auth.check(b"Bearer " + token, "192.0.2.1")
        statuses.append(caught.value.status)
    assert statuses == [401, 403, 429]
    auth.check(b"bearer " + signed(), "192.0.2.1")


def test_others_can_verify_with_the_published_keys() -> None:
    document = tokens.jwks(tokens.by_id(KEY.public_key()))
    published = jwt.PyJWKSet.from_dict(json.loads(json.dumps(document)))
    token = TokenIssuer(KEY, service="flowers", issuer="calotype").issue().token
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="flowers", issuer="calotype")
    assert set(claims) == {"iss", "aud", "iat", "exp", "jti"}
    assert "d" not in document["keys"][0]  # the private half


def test_a_signing_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.pem"
    key = tokens.signing_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tokens.signing_key(path).private_bytes_raw() == key.private_bytes_raw()
    assert [file.name for file in path.parent.iterdir()] == ["signing.pem"]


def test_a_file_that_is_no_signing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    path.write_text("something else")
    with pytest.raises(errors.UnparsableFile, match="Ed25519"):
        tokens.signing_key(path)
    with pytest.raises(errors.UnreadableFile):
        tokens.signing_key(tmp_path)
