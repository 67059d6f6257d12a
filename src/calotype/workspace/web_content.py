"""Fetching the content of a URL once: with limits of size and time."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import calotype
from calotype import errors
from calotype.progress import SILENCE, Progress
from calotype.workspace import content_names

MAX_BYTES: Final = 20 << 30
STALL_S: Final = 60.0
TOTAL_S: Final = 6 * 3600.0

_CHUNK_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """When to give up.

    Attributes:
        max_bytes: of the content.
        stall_s: how long nothing may come.
        total_s: how long all of it may take.
    """

    max_bytes: int = MAX_BYTES
    stall_s: float = STALL_S
    total_s: float = TOTAL_S


def is_url(text: str) -> bool:
    """Return whether this is a URL that can be fetched."""
    return re.match(r"(?i)https?://", text) is not None


def public_url(url: str) -> str:
    """Return a URL without what may be a secret: query and fragment.

    >>> public_url("https://example.org/photos.zip?signature=secret")
    'https://example.org/photos.zip'
    """
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def fetch(
    url: str,
    folder: Path,
    *,
    limits: FetchLimits | None = None,
    progress: Progress = SILENCE,
) -> Path:
    """Write the content of a URL into a folder and return the file; see `content_names`.

    Redirects to other http(s) addresses are followed.

    Raises:
        UnparsableValue: the URL has a password in it, or no host.
        UnreadableFile: the server cannot be reached, refuses, or breaks off.
        OperationFailed: the content is larger, or takes longer, than the limits.
        CannotWrite: the disk is full.
    """
    limits = limits or FetchLimits()
    shown = public_url(_checked(url))
    place = folder / "content"
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        url, headers={"User-Agent": f"calotype/{calotype.__version__}", "Accept": "*/*"}
    )
    try:
        with _opener().open(request, timeout=limits.stall_s) as reply:
            _receive(reply, place, shown, limits, progress)
            said = reply.headers.get_filename()
            return place.rename(folder / content_names.choose(place, said, url, reply.geturl()))
    except urllib.error.HTTPError as error:
        error.close()
        raise _unreachable(shown, f"{error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _unreachable(shown, str(error.reason)) from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(shown, str(error) or type(error).__name__) from error
    except OSError as error:
        raise errors.write_error(error, where=str(place)) from error


def _receive(reply: Any, place: Path, shown: str, limits: FetchLimits, progress: Progress) -> None:
    said = reply.headers.get("Content-Length")
    total = int(said) if said is not None and said.isdigit() else None
    if (total or 0) > limits.max_bytes:
        raise _too_much(shown, f"{total:,} bytes", f"at most {limits.max_bytes:,} bytes")
    ends_s = time.monotonic() + limits.total_s
    received = 0
    progress.begin("downloading", total=total, unit="bytes")
    try:
        with place.open("wb") as file:
            # read1: what has come, so that a slow server cannot outstay the limit of time.
            while chunk := reply.read1(_CHUNK_BYTES):
                file.write(chunk)
                received += len(chunk)
                progress.advance(len(chunk))
                if received > limits.max_bytes:
                    raise _too_much(shown, "more", f"at most {limits.max_bytes:,} bytes")
                if time.monotonic() > ends_s:
                    raise _too_much(
                        shown, f"{received:,} bytes", f"all within {limits.total_s:g} s"
                    )
    finally:
        progress.end()
    if total is not None and received != total:
        raise _unreachable(shown, f"{received:,} of {total:,} bytes")


def _checked(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    try:
        is_good = bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise errors.UnparsableValue(
            "expected an http(s) URL with a host and without a password",
            where="dataset source",
            got=f"'{parts.scheme}://{parts.netloc.rpartition('@')[2]}'",
            action="Download the file yourself and register it.",
        )
    return url


def _opener() -> urllib.request.OpenerDirector:
    # Not build_opener: a redirect could lead to ftp: or file: then.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _unreachable(shown: str, got: str) -> errors.UnreadableFile:
    return errors.UnreadableFile(
        "expected the content of this URL",
        where=shown,
        got=got,
        action="Check the address and the network.",
    )


def _too_much(shown: str, got: str, allowed: str) -> errors.OperationFailed:
    return errors.OperationFailed(
        f"expected {allowed}",
        where=shown,
        got=got,
        action="Raise the limit (--max-bytes), or download the file yourself and register it.",
    )
