"""`AMLRequest`: the whole request, for scripts with `@rawhttp`."""

from __future__ import annotations

import io
from functools import cached_property
from typing import Any

from calotype.serving.entry.form import Form, UploadedFile, parsed_form
from calotype.serving.entry.multi_values import HeaderLines, MultiValues
from calotype.serving.exchange import Request
from calotype.serving.json_body import is_json, parsed, require_json
from calotype.serving.query import query_pairs
from calotype.serving.refusals import Refusal

DEFAULT_MAX_PARTS = 100
DEFAULT_MAX_DEPTH = 64


class AMLRequest:
    """A request with the names that scripts know from Flask; everything is read when asked for.

    Args:
        request: what arrived.
        max_parts: 413 for a form with more.
        max_depth: 400 for JSON that is nested deeper, when the script asks for it.
    """

    def __init__(
        self,
        request: Request,
        *,
        max_parts: int = DEFAULT_MAX_PARTS,
        max_depth: int = DEFAULT_MAX_DEPTH,
    ) -> None:
        self._request = request
        self._max_parts = max_parts
        self._max_depth = max_depth
        self.method = request.method
        self.path = request.path
        self.query_string = request.query
        self.remote_addr = request.client
        self.script_root = ""

    def __repr__(self) -> str:
        return f"<AMLRequest {self.url!r} [{self.method}]>"

    @cached_property
    def headers(self) -> HeaderLines:
        """The header lines, names in any case."""
        return HeaderLines(
            (name.decode("latin-1").title(), value.decode("latin-1"))
            for name, value in self._request.headers
        )

    @cached_property
    def args(self) -> MultiValues[str]:
        """The values of the query."""
        return MultiValues(query_pairs(self._request.query))

    @cached_property
    def _form(self) -> Form:
        form = Form()
        if self.mimetype == "multipart/form-data":
            content_type = self._request.header(b"content-type") or b""
            return parsed_form(self.data, content_type, max_parts=self._max_parts)
        if self.mimetype == "application/x-www-form-urlencoded":
            form.fields = MultiValues(query_pairs(self.data))
        return form

    @property
    def form(self) -> MultiValues[str]:
        """The fields of a form, without its files."""
        return self._form.fields

    @property
    def files(self) -> MultiValues[UploadedFile]:
        """The files of a multipart form."""
        return self._form.files

    @cached_property
    def values(self) -> MultiValues[str]:
        """Query and form together; the query comes first."""
        sources = (self.args, self.form)
        return MultiValues(
            (name, value) for source in sources for name, all_ in source.lists() for value in all_
        )

    @cached_property
    def cookies(self) -> MultiValues[str]:
        """The cookies."""
        pairs = (item.partition("=") for item in self.headers.get("Cookie", "").split(";"))
        return MultiValues(
            (name.strip(), value.strip(' "')) for name, found, value in pairs if found
        )

    @property
    def data(self) -> bytes:
        """The body."""
        return self._request.body

    @cached_property
    def stream(self) -> io.BytesIO:
        """The body as an open file."""
        return io.BytesIO(self.data)

    def get_data(
        self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False
    ) -> Any:
        """Return the body, as text in UTF-8 if asked for."""
        return self.data.decode("utf-8", "replace") if as_text else self.data

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the body as JSON; None when it is not and `silent`.

        Raises:
            Refusal: the content type is another one (unless `force`), or the body is no JSON.
        """
        try:
            if not force:
                require_json(self._request.header(b"content-type"))
            return parsed(self.data, max_depth=self._max_depth)
        except Refusal:
            if silent:
                return None
            raise

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return self.get_json()

    @property
    def content_type(self) -> str | None:
        """The content type as it was sent."""
        return self.headers.get("Content-Type")

    @property
    def mimetype(self) -> str:
        """The content type without its options; octet-stream for one that cannot be read."""
        mimetype = (self.content_type or "").partition(";")[0].strip().lower()
        is_whole = mimetype.count("/") == 1 and " " not in mimetype
        return mimetype if is_whole or not mimetype else "application/octet-stream"

    @property
    def is_json(self) -> bool:
        """Whether the content type is one of JSON."""
        return is_json(self._request.header(b"content-type"))

    @property
    def content_length(self) -> int:
        """How many bytes the body has."""
        return len(self.data)

    @property
    def content_encoding(self) -> str | None:
        """How the body was compressed; it arrives here as it was sent."""
        return self.headers.get("Content-Encoding")

    @property
    def full_path(self) -> str:
        """Path and query; the question mark is there even without a query."""
        return f"{self.path}?{self.query_string.decode('latin-1')}"

    @property
    def scheme(self) -> str:
        """`https` with TLS of our own or of a proxy that says so."""
        forwarded = self.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip()
        return forwarded or self._request.scheme

    @property
    def is_secure(self) -> bool:
        """Whether the caller used TLS, as far as we and a proxy can tell."""
        return self.scheme == "https"

    @property
    def host(self) -> str:
        """The host that the caller named."""
        return self.headers.get("Host", "localhost")

    @property
    def host_url(self) -> str:
        """Scheme and host."""
        return f"{self.scheme}://{self.host}/"

    url_root = root_url = host_url

    @property
    def base_url(self) -> str:
        """The address without its query."""
        return f"{self.scheme}://{self.host}{self.path}"

    @property
    def url(self) -> str:
        """The whole address."""
        return f"{self.base_url}?{self.query_string.decode('latin-1')}".removesuffix("?")

    @property
    def user_agent(self) -> str:
        """The program of the caller."""
        return self.headers.get("User-Agent", "")

    @property
    def access_route(self) -> list[str]:
        """The addresses that the request came through, as far as proxies tell."""
        forwarded = self.headers.get("X-Forwarded-For", "")
        return [one.strip() for one in forwarded.split(",") if one.strip()] or [self.remote_addr]
