"""`AMLResponse`: an answer of which the script decides every detail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Any, cast

from calotype.serving.entry.multi_values import HeaderLines
from calotype.serving.entry.results import ResultEncoder
from calotype.serving.exchange import Answer

_HTML = "text/html; charset=utf-8"  # what scripts that name no type have always sent
_JSON = "application/json"
_JSON_RESULT = ResultEncoder(lambda _: None)
# A comma in these is part of the value; everywhere else it separates lines.
_WHOLE = {"date", "expires", "last-modified", "retry-after", "set-cookie"}
# The server writes these itself; a wrong one would break the connection.
_OF_THE_SERVER = {"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"}
_FAILED = "x-ms-run-function-failed"
_WITHOUT_BODY = {204, 304}


class AMLResponse:
    """What `run` returns to set status and headers itself.

    Args:
        message: text, bytes or pieces of them; None gives an empty JSON object.
        status_code: HTTP status.
        response_headers: values with commas become several lines.
        json_str: write `message` as JSON.
        run_function_failed: what the header `x-ms-run-function-failed` says.
    """

    def __init__(
        self,
        message: Any,
        status_code: int | str | HTTPStatus = 200,
        response_headers: Mapping[str, object] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        is_json = message is None or json_str
        self.status_code = _status(status_code)
        self.headers = HeaderLines([("Content-Type", _JSON if is_json else _HTML)])
        self.headers[_FAILED] = str(run_function_failed)
        self._data = b""
        self.set_data(_JSON_RESULT.encode(message) if is_json else message)
        self._add_all(response_headers or {})

    def _add_all(self, headers: Mapping[str, object]) -> None:
        for name, value in headers.items():
            if name.lower() == "content-type":
                self.headers[name] = str(value)
            elif name.lower() in _WHOLE:
                self.headers.add(name, value)
            else:
                for part in str(value).split(","):
                    self.headers.add(name, part.strip())

    def __repr__(self) -> str:
        return f"<AMLResponse {len(self._data)} bytes [{self.status}]>"

    @property
    def data(self) -> bytes:
        """The body."""
        return self._data

    @data.setter
    def data(self, data: Any) -> None:
        self.set_data(data)

    def get_data(self, as_text: bool = False) -> Any:
        """Return the body."""
        return self._data.decode("utf-8") if as_text else self._data

    def set_data(self, data: Any) -> None:
        """Replace the body."""
        self._data = _content(data)

    @property
    def status(self) -> str:
        """The status and its name."""
        known = {one.value: one.phrase for one in HTTPStatus}
        return f"{self.status_code} {known.get(self.status_code, 'UNKNOWN').upper()}"

    @status.setter
    def status(self, status: int | str) -> None:
        self.status_code = _status(status)

    @property
    def content_type(self) -> str | None:
        """The content type."""
        return self.headers.get("Content-Type")

    @content_type.setter
    def content_type(self, content_type: str) -> None:
        self.headers["Content-Type"] = content_type

    @property
    def mimetype(self) -> str:
        """The content type without its options."""
        return (self.content_type or "").partition(";")[0].strip()

    @mimetype.setter
    def mimetype(self, mimetype: str) -> None:
        is_text = mimetype.startswith("text/")
        self.headers["Content-Type"] = f"{mimetype}; charset=utf-8" if is_text else mimetype

    def set_cookie(self, key: str, value: str = "", **attributes: Any) -> None:
        """Add a cookie; attributes as `max_age`, `path`, `httponly`."""
        cookie = SimpleCookie()
        cookie[key] = value
        for name, setting in {"path": "/", **attributes}.items():
            if setting is not None and setting is not False:
                cookie[key][name.replace("_", "-")] = setting
        self.headers.add("Set-Cookie", cookie[key].OutputString())

    def delete_cookie(self, key: str, path: str = "/", domain: str | None = None) -> None:
        """Make the browser forget a cookie."""
        self.set_cookie(key, "", max_age=0, path=path, domain=domain)


def _status(status: int | str) -> int:
    return int(status.split()[0]) if isinstance(status, str) else int(status)


def _content(data: Any) -> bytes:
    match data:
        case str():
            return data.encode("utf-8")
        case bytes() | bytearray() | memoryview():
            return bytes(cast("bytes", data))
        case Iterable():
            return b"".join(_content(part) for part in cast("Iterable[Any]", data))
        case _:
            raise TypeError(f"expected text or bytes as the message. Got {type(data).__name__}.")


def answer_of(response: Any) -> Answer:
    """Return the answer of a response of ours, or of one of Flask or Werkzeug.

    Raises:
        ValueError: its status is none of HTTP.
    """
    status = int(response.status_code)
    if not 200 <= status <= 599:
        raise ValueError(f"expected a status from 200 to 599. Got {status}.")
    headers = HeaderLines(_lines(response.headers))
    has_failed = status >= 500 or headers.get(_FAILED) == "True"
    content_type = headers.get("Content-Type", "")
    lines = [
        (name.lower().encode("ascii"), value.encode("latin-1"))
        for name, value in headers.lines()
        if name.lower() not in (*_OF_THE_SERVER, "content-type", _FAILED)
    ]
    lines.append((_FAILED.encode("ascii"), b"True" if has_failed else b"False"))
    body = b"" if status in _WITHOUT_BODY else response.get_data()
    return Answer(status, body, content_type.encode("latin-1"), lines)


def _lines(headers: Any) -> list[tuple[str, str]]:
    return headers.lines() if isinstance(headers, HeaderLines) else list(headers.items())
