"""`calotype serve` towards strangers: credentials, pages of other origins, TLS."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import subprocess
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme
from browser import page_server, seen_by_page
from running import (
    ANSWER_S,
    Program,
    Reply,
    ask_over,
    check_error,
    command,
    ended,
    environment,
    serving,
    until,
)

# Made up for these tests; each must never be seen in a log.
PRIMARY = "primary-key-of-a-test"
SECONDARY = "secondary-key-of-a-test"
WRONG = "wrong-key-that-somebody-tries"
KEY_OF_NO_KNOWN_KIND = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VjBCIEIADk6vITB0nDBBstsYGwon7YhbxEaUXZN6dHvG8svCdX
-----END PRIVATE KEY-----
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "score.py"
    path.write_text("import json\ndef run(raw_data): return json.loads(raw_data)\n")
    return path


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def test_keys_open_the_service_and_stay_out_of_the_log(script: Path, tmp_path: Path) -> None:
    origin = "http://pages.example.org"
    keys = {"CALOTYPE_PRIMARY_KEY": PRIMARY, "CALOTYPE_SECONDARY_KEY": SECONDARY}
    options = ("--auth", "key", "--cors-origins", f"{origin},http://other.example.org")
    with serving(tmp_path, "--entry-script", script, *options, variables=keys) as program:
        assert program.facts["primary_key"] == PRIMARY
        for credential in (PRIMARY, SECONDARY):
            assert program.score(1, **bearer(credential)).json == 1
        for written in (f"bearer {PRIMARY}", f"BEARER  {PRIMARY} "):
            assert program.score(1, Authorization=written).status == 200
        refused = program.score(1, **bearer(WRONG))
        assert WRONG not in check_error(refused, 401)
        assert refused.headers["www-authenticate"].startswith("Bearer")
        for wrong in ("", WRONG, f"Basic {PRIMARY}", f"Bearer {PRIMARY[:-1]}", "Bearer"):
            check_error(program.score(1, Authorization=wrong), 401)
        missing = program.score(1)
        check_error(missing, 401)
        assert missing.headers["www-authenticate"] == "Bearer"
        for path in ("/", "/swagger.json", "/metrics"):
            assert program.ask("GET", path).status == 200
        assert "securityDefinitions" in program.ask("GET", "/swagger.json").json

        _check_preflight(program, origin)
        answered = program.score(1, Origin=origin, **bearer(PRIMARY))
        assert answered.headers["access-control-allow-origin"] == origin
        assert program.score(1, Origin=origin).headers["access-control-allow-origin"] == origin
        stranger = program.score(1, Origin="http://evil.example.org", **bearer(PRIMARY))
        assert "access-control-allow-origin" not in stranger.headers

        command_line = Path(f"/proc/{program.process.pid}/cmdline").read_bytes()
        assert PRIMARY.encode() not in command_line
    text = program.log_text()
    assert not any(secret in text for secret in (PRIMARY, PRIMARY[:-1], SECONDARY, WRONG))
    assert '"status":401' in text


def _check_preflight(program: Program, origin: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    reply = program.ask("OPTIONS", "/score", headers=asked)
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == origin
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert reply.headers["access-control-allow-headers"] == "authorization, content-type"
    assert reply.headers["vary"] == "Origin"
    stranger = program.ask("OPTIONS", "/score", headers={**asked, "Origin": "http://evil.org"})
    assert "access-control-allow-origin" not in stranger.headers


def test_guessing_is_slowed_down_and_right_keys_go_on_working(script: Path, tmp_path: Path) -> None:
    keys = ("--auth", "key", "--primary-key", PRIMARY)
    with serving(tmp_path, "--entry-script", script, "--isolation", "none", *keys) as program:
        replies = [program.score(1, **bearer(f"{WRONG}-{guess}")) for guess in range(25)]
        assert [reply.status for reply in replies] == [401] * 20 + [429] * 5
        assert int(replies[-1].headers["retry-after"]) > 0
        assert program.score(1, **bearer(PRIMARY)).status == 200
        made = program.facts["secondary_key"]
        assert program.score(1, **bearer(made)).status == 200
    assert not any(secret in program.log_text() for secret in (PRIMARY, WRONG, made))


def test_tokens_end_to_end(script: Path, tmp_path: Path) -> None:
    signing = tmp_path / "signing.pem"
    options = ("--auth", "token", "--token-key", signing, "--name", "tokens")

    def token(name: str) -> str:
        made = subprocess.run(
            command("service", "get-access-token", "-n", name, "--token-key", signing),
            capture_output=True, check=True, env=environment("none"),
        )  # fmt: skip
        document = json.loads(made.stdout)
        assert document["refresh_after"] < document["expiry_on"]
        return document["access_token"]

    with serving(tmp_path, "--entry-script", script, *options) as program:
        good, foreign = token("tokens"), token("others")
        assert program.score([1], **bearer(good)).json == [1]
        check_error(program.score([1], **bearer(foreign)), 403)
        check_error(program.score([1], **bearer(good[:-4] + "AAAA")), 401)
        unsigned = jwt.encode({"aud": "tokens", "iss": "calotype"}, "", algorithm="none")
        check_error(program.score([1], **bearer(unsigned)), 401)
        check_error(program.score([1]), 401)

        (key,) = program.ask("GET", "/.well-known/jwks.json").json["keys"]
        assert "d" not in key
        claims = jwt.decode(good, jwt.PyJWK(key), ["EdDSA"], audience="tokens", issuer="calotype")
        assert claims["exp"] - claims["iat"] == 3600
        secret = signing.read_text().splitlines()[1]
    log = program.log_text()
    assert not any(text in log for text in (good, foreign, good.split(".")[2], secret))
    assert signing.stat().st_mode & 0o077 == 0


def test_credentials_are_ignored_where_nobody_asks(script: Path, tmp_path: Path) -> None:
    with serving(tmp_path, "--entry-script", script) as program:
        for value in ("Bearer " + WRONG, "nonsense", ""):
            assert program.score(1, Authorization=value).status == 200
        check_error(program.ask("GET", "/.well-known/jwks.json"), 404)
    assert WRONG not in program.log_text()


def test_a_page_of_another_origin_calls_a_protected_service(script: Path, tmp_path: Path) -> None:
    with page_server() as page:
        origin = page()
        options = ("--auth", "key", "--primary-key", PRIMARY, "--cors-origins", origin)
        options += ("--max-body-bytes", 1000)
        with serving(tmp_path, "--entry-script", script, *options) as program:
            call = {"uri": program.facts["scoring_uri"], "key": PRIMARY, "body": {"data": [1, 2]}}
            page([call, {**call, "body": "x" * 1000}])
            (status, answer), (refused, why) = seen_by_page(origin, tmp_path / "one")
            assert (status, answer) == (200, {"data": [1, 2]})
            assert (refused, why["status_code"]) == (413, 413)
            stranger = origin.replace("127.0.0.1", "localhost")  # another origin, not on the list
            first, second = seen_by_page(stranger, tmp_path / "two")
            assert first[0] == second[0] == "kept from the page"
            until(lambda: len(program.events("request")) >= 3, "the lines of the log")
            methods = [event["method"] for event in program.events("request")]
            assert methods[:2] == ["OPTIONS", "POST"]
            assert methods.count("POST") == 1


def _issue(authority: trustme.CA, folder: Path, days: int = 90) -> None:
    """Write a new certificate over the one in use, the key first."""
    ends = datetime.now(UTC) + timedelta(days=days)
    issued = authority.issue_cert("localhost", "127.0.0.1", not_after=ends)
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")


def _connect(authority: trustme.CA, port: int, **versions: Any) -> http.client.HTTPSConnection:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    for name, version in versions.items():
        setattr(context, name, version)
    return http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=ANSWER_S)


def _serial(connection: http.client.HTTPSConnection) -> str:
    certificate = connection.sock.getpeercert()
    assert certificate
    return str(certificate["serialNumber"])


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_tls_takes_a_new_certificate_while_connections_live_on(
    script: Path, tmp_path: Path, isolation: str
) -> None:
    authority = trustme.CA()
    _issue(authority, tmp_path)
    tls = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    arguments = ("--entry-script", script, "--isolation", isolation, *tls)
    with serving(tmp_path, *arguments) as program, closing(
        _connect(authority, program.port)
    ) as old:  # fmt: skip
        assert program.facts["scoring_uri"].startswith("https://")

        def score(connection: http.client.HTTPSConnection) -> Reply:
            headers = {"Content-Type": "application/json"}
            return ask_over(connection, "POST", "/score", "[1]", headers)

        assert score(old).json == [1]
        assert old.sock.version() == "TLSv1.3"
        document = ask_over(old, "GET", "/swagger.json").json
        assert document["schemes"] == ["https"]
        metrics = ask_over(old, "GET", "/metrics").body.decode()
        found = re.search(r"^calotype_certificate_seconds_left\{.*\} (.*)$", metrics, re.MULTILINE)
        assert found
        assert 80 < float(found[1]) / 86_400 < 90
        first = _serial(old)

        (tmp_path / "key.pem").write_text(KEY_OF_NO_KNOWN_KIND)
        until(lambda: program.events("certificate not reloaded"), "the trouble with the key")
        _issue(authority, tmp_path, days=10)

        def is_new() -> bool:
            with closing(_connect(authority, program.port)) as new:
                new.connect()
                return _serial(new) != first

        until(is_new, "the new certificate")
        assert score(old).json == [1]
        assert _serial(old) == first
        tls_1_2 = {"maximum_version": ssl.TLSVersion.TLSv1_2}
        with closing(_connect(authority, program.port, **tls_1_2)) as older:
            assert score(older).status == 200
        with program.connect() as plain:  # what speaks no TLS is dropped, and costs nothing
            plain.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b"Healthy" not in plain.recv(1000)
        assert score(old).status == 200
    assert "PRIVATE KEY" not in program.log_text()
    assert program.events("certificate reloaded")


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_silent_connections_are_limited_before_their_handshake(
    script: Path, tmp_path: Path, isolation: str
) -> None:
    authority = trustme.CA()
    _issue(authority, tmp_path)
    tls = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    # Silent ones are to be ended for their number, and not for their silence.
    options = ("--isolation", isolation, "--max-connections", 10, "--header-timeout-s", 120, *tls)
    with serving(tmp_path, "--entry-script", script, *options) as program:

        def is_healthy() -> bool:
            with closing(_connect(authority, program.port)) as connection:
                try:
                    return ask_over(connection, "GET", "/").status == 200
                except OSError:
                    return False

        silent = [program.connect() for _ in range(100)]
        with ExitStack() as stack:
            for connection in silent:
                stack.enter_context(connection)
                connection.setblocking(False)
            until(lambda: sum(map(_is_closed, silent)) == 73, "an end of all but 10 + 17")
            assert not is_healthy()
        until(is_healthy, "room for another connection")


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


RAW = """
from calotype.serving.entry.raw_http import rawhttp
from calotype.serving.entry.raw_response import AMLResponse
@rawhttp
def run(request):
    if request.method == "DELETE":
        return AMLResponse("", 204)
    return [request.scheme, request.url, request.is_secure]
"""


def test_raw_scripts_know_that_their_callers_use_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    _issue(authority, tmp_path)
    (tmp_path / "score.py").write_text(RAW)
    tls = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    with serving(tmp_path, "--entry-script", tmp_path / "score.py", *tls) as program, closing(
        _connect(authority, program.port)
    ) as connection:  # fmt: skip
        uri = f"https://127.0.0.1:{program.port}/score"
        assert ask_over(connection, "GET", "/score").json == ["https", uri, True]
        forwarded = {"X-Forwarded-Proto": "http"}
        assert ask_over(connection, "GET", "/score", headers=forwarded).json[0] == "http"

        nothing = ask_over(connection, "DELETE", "/score")
        assert (nothing.status, nothing.body) == (204, b"")
        assert not {"content-length", "transfer-encoding"} & set(nothing.headers)
        assert ask_over(connection, "GET", "/score").status == 200


WITH_SAMPLE = """
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema
@input_schema("data", StandardPythonParameterType([1.0]))
@output_schema(StandardPythonParameterType([1.0]))
def run(data):
    return data
"""


@pytest.mark.parametrize("kind", ["private authority", "self-signed"])
def test_a_protected_service_passes_its_own_check(tmp_path: Path, kind: str) -> None:
    (tmp_path / "score.py").write_text(WITH_SAMPLE)
    if kind == "self-signed":
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "9", "-subj", "/CN=own",
             "-addext", "subjectAltName=DNS:own.example.org"],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip
    else:
        _issue(trustme.CA(), tmp_path)
    tls = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    token = ("--auth", "token", "--token-key", tmp_path / "signing.pem")
    options = ("--port", 0, "--check", *tls, *token)
    code, output, log = ended(tmp_path, "--entry-script", tmp_path / "score.py", *options)
    assert code == 0, output + log
    assert "200 and as declared" in output


def test_tls_1_2_alone_and_a_certificate_that_ends_soon(script: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    _issue(authority, tmp_path, days=5)
    tls = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    with serving(tmp_path, "--entry-script", script, *tls, "--tls-exact-1.2") as program:
        with closing(_connect(authority, program.port)) as connection:
            assert ask_over(connection, "GET", "/").body == b"Healthy"
            assert connection.sock.version() == "TLSv1.2"
        versions = {"minimum_version": ssl.TLSVersion.TLSv1_3}
        with (
            closing(_connect(authority, program.port, **versions)) as newer,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            newer.connect()
        until(lambda: "The TLS certificate expires" in program.log_text(), "the warning")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--auth", "token"], 2, "--token-key"),
        (["--tls-cert", "cert.pem"], 2, "--tls-key"),
        (["--primary-key", PRIMARY], 1, "error 0002"),
        (["--auth", "key", "--primary-key", "short"], 1, "error 0002"),
        (["--auth", "key", "--primary-key", PRIMARY, "--secondary-key", PRIMARY], 1, "error 0002"),
        (["--tls-cert", "absent.pem", "--tls-key", "absent.pem"], 1, "absent.pem"),
        (["--capture-fields-to-hide", "name"], 2, "--capture"),
        (["--no-such-option"], 2, "--no-such-option"),
        (["--workers", "0"], 1, "workers"),
        (["--isolation", "some"], 1, "isolation"),
        (["--model", "also"], 2, "--entry-script"),
    ],
)
def test_wrong_options_are_refused_without_showing_keys(
    script: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    got, output, log = ended(tmp_path, "--entry-script", script, *arguments)
    assert got == code
    assert said in log
    assert output == ""
    assert "Traceback" not in log
    assert PRIMARY not in log
