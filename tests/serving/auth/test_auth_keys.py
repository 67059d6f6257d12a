"""Keys and guesses: who gets in, and what the others are told."""

from __future__ import annotations

import pytest

from calotype import errors
from calotype.serving.auth.authenticator import KeyAuth, NoAuth, keys_for, one_kind
from calotype.serving.auth.guesses import Guesses
from calotype.serving.auth.keys import ServiceKeys
from calotype.serving.refusals import Refusal

KEYS = ServiceKeys("the-first-key", "the-second-key")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def refusal(auth: KeyAuth, header: bytes | None, client: str = "192.0.2.1") -> Refusal:
    with pytest.raises(Refusal) as caught:
        auth.check(header, client)
    return caught.value


def test_either_key_opens_the_service() -> None:
    auth = KeyAuth(KEYS, Guesses())
    auth.check(b"Bearer the-first-key", "")
    auth.check(b"Bearer the-second-key", "")


@pytest.mark.parametrize(
    "header",
    [
        b"bearer the-first-key",
        b"BEARER  the-first-key ",
        b"  Bearer   the-first-key",
    ],
)
def test_scheme_and_blanks_are_tolerated(header: bytes) -> None:
    KeyAuth(KEYS, Guesses()).check(header, "")


@pytest.mark.parametrize(
    "header", [None, b"", b"Bearer", b"Bearer ", b"Basic abc", b"the-first-key"]
)
def test_a_missing_key_is_asked_for(header: bytes | None) -> None:
    refused = refusal(KeyAuth(KEYS, Guesses(0)), header)  # and it is not a guess
    assert refused.status == 401
    assert refused.headers == [(b"www-authenticate", b"Bearer")]
    assert "primary or secondary key" in refused.message
    assert "the-first-key" not in refused.message


@pytest.mark.parametrize("key", [b"wrong-key", b"the-first-keyx", b"the-first-ke", b"\xff" * 9000])
def test_a_wrong_key_is_refused_and_not_repeated(key: bytes) -> None:
    refused = refusal(KeyAuth(KEYS, Guesses()), b"Bearer " + key)
    assert refused.status == 401
    assert refused.headers[0][0] == b"www-authenticate"
    assert key.decode("latin-1") not in refused.message


def test_guessing_is_limited_by_address_and_right_keys_still_work() -> None:
    clock = Clock()
    auth = KeyAuth(KEYS, Guesses(3, clock=clock))
    assert [refusal(auth, b"Bearer wrong").status for _ in range(4)] == [401, 401, 401, 429]
    assert refusal(auth, b"Bearer wrong").headers == [(b"retry-after", b"60")]
    auth.check(b"Bearer the-first-key", "192.0.2.1")
    assert refusal(auth, b"Bearer wrong", "192.0.2.2").status == 401
    clock.now_s = 60.0
    assert refusal(auth, b"Bearer wrong").status == 401


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    auth = KeyAuth(KEYS, Guesses(1))
    assert refusal(auth, b"Bearer wrong", "2001:db8::1").status == 401
    assert refusal(auth, b"Bearer wrong", "2001:db8::2").status == 429
    assert refusal(auth, b"Bearer wrong", "2001:db8:0:1::2").status == 401


def test_addresses_are_forgotten() -> None:
    clock = Clock()
    guesses = Guesses(clock=clock)
    for number in range(10_100):
        guesses.count(f"client {number}")
    assert len(guesses) == 10_000
    clock.now_s = 60.0
    guesses.count("another")
    assert len(guesses) == 1


def test_generated_keys_are_long_different_and_accepted() -> None:
    keys = ServiceKeys.generate()
    assert keys.primary != keys.secondary
    assert keys.primary.startswith("calotype_")
    assert len(keys.primary) == len("calotype_") + 43  # 256 bits in base64
    assert keys.accepts(keys.primary.encode())
    assert keys.accepts(keys.secondary.encode())
    assert not keys.accepts(b"")


def test_one_key_is_exchanged_while_the_other_works() -> None:
    new = KEYS.regenerated("primary")
    assert not new.accepts(b"the-first-key")
    assert new.accepts(b"the-second-key")
    chosen = KEYS.regenerated("secondary", value="chosen-by-me")
    assert chosen.accepts(b"chosen-by-me")
    assert not chosen.accepts(b"the-second-key")


def test_keys_are_not_shown() -> None:
    assert "key" not in repr(KEYS).removeprefix("ServiceKeys")


@pytest.mark.parametrize(
    "key", ["short", "with blank in it", "sch\u00f6ner-schl\u00fcssel", "a" * 257, "a\nbcdefgh"]
)
def test_unusable_keys_are_refused_without_repeating_them(key: str) -> None:
    with pytest.raises(errors.UnparsableValue) as caught:
        ServiceKeys(key, "the-second-key")
    assert key not in str(caught.value)
    assert caught.value.where == "primary key"


def test_equal_keys_are_refused() -> None:
    with pytest.raises(errors.UnparsableValue, match="different keys"):
        ServiceKeys("the-first-key", "the-first-key")


def test_serve_makes_the_keys_that_are_not_given() -> None:
    both, one = keys_for("key", None, None), keys_for("key", None, "the-second-key")
    assert both is not None
    assert one is not None
    assert one.secondary == "the-second-key"
    assert keys_for("none", None, None) is None


@pytest.mark.parametrize("auth", ["none", "token"])
def test_keys_without_key_auth_are_an_error(auth: str) -> None:
    with pytest.raises(errors.UnparsableValue, match=f"--auth {auth}") as caught:
        keys_for(auth, "the-first-key", None)  # pyright: ignore[reportArgumentType]
    assert "the-first-key" not in str(caught.value)


def test_both_kinds_together_are_an_error() -> None:
    with pytest.raises(errors.UnparsableValue, match="both on"):
        one_kind(key_auth=True, token_auth=True)
    assert one_kind(key_auth=True, token_auth=False) == "key"
    assert one_kind(key_auth=False, token_auth=True) == "token"
    assert one_kind(key_auth=False, token_auth=False) == "none"


def test_without_auth_the_header_is_ignored() -> None:
    NoAuth().check(b"Basic nonsense", "")
    NoAuth().check(None, "")
