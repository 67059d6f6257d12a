"""The URL of an artifact store: what of it is secret, and what of it may be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from calotype import errors

# Of names in a query: `secret`, `aws_secret_access_key`, `X-Amz-Signature`, `sas`, `token`…
_SECRET_NAMES: Final = (
    "auth",
    "cred",
    "key",
    "pass",
    "pwd",
    "sas",
    "secret",
    "sig",
    "token",
)
_CHAIN: Final = "::"  # simplecache::s3://bucket
_OF_BUCKETS: Final = ("s3", "s3a", "gs", "gcs")  # whose URLs have no host, and so no port


def local_folder(url: str) -> Path | None:
    """Return the folder that a `file:` URL or a path means; None for another store."""
    if url.startswith("file:"):
        return Path(unquote(_split(url).path))
    return None if "://" in url else Path(url)


def shown(url: str) -> str:
    """Return where a store is, for messages: without passwords and parameters.

    >>> shown("s3://id:secret@bucket/flowers?token=x")
    's3://bucket/flowers'
    """
    folder = local_folder(url)
    if folder is not None:
        return str(folder)
    return _CHAIN.join(_without_secrets(link) for link in url.split(_CHAIN))


def refuse_secrets(url: str) -> None:
    """Refuse what would lie in clear text in the configuration and in the database.

    Raises:
        NotSupported: the URL has a password, or a secret among its parameters.
        UnparsableValue: it is none.
    """
    if local_folder(url) is not None:
        return
    if found := next(filter(None, map(_secret, url.split(_CHAIN))), ""):
        raise errors.NotSupported(
            "expected the URL of a store without secrets, as it is written to a file",
            where=shown(url),
            got=f"one with {found}",
            action="Leave it out, and give it in the environment: for S3 AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with a profile of ~/.aws; for other stores "
            "FSSPEC_SFTP_PASSWORD and its like, or a file in ~/.config/fsspec.",
        )


def _secret(link: str) -> str:
    """Return what is secret in one link of a chain, in words; empty when nothing is."""
    user, _, _ = _account(link).rpartition("@")
    if user.partition(":")[2]:
        return "a password"
    for name, _ in parse_qsl(_split(link).query, keep_blank_values=True):
        if any(word in name.lower() for word in _SECRET_NAMES):
            return f"the parameter '{name}'"
    return ""


def _without_secrets(link: str) -> str:
    scheme, mark, rest = link.partition("://")
    user, _, _ = _account(link).rpartition("@")
    if ":" in user:  # else no password: a name alone, or the container of an abfs: URL
        rest = rest[len(user) + 1 :]
    return f"{scheme}{mark}{rest.partition('?')[0].partition('#')[0]}"


def _split(link: str) -> SplitResult:
    try:
        return urlsplit(link)
    except ValueError:  # its message may say all of the URL
        raise errors.UnparsableValue(
            "expected a folder or a URL", where="artifacts", got=f"'{_without_secrets(link)}'"
        ) from None


def _account(link: str) -> str:
    """Return `user:password@host`. A password may have slashes: those of AWS often do."""
    scheme, _, rest = link.partition("://")
    first = rest.partition("/")[0]
    if "@" in first:
        return first
    host, colon, port = first.partition(":")
    is_port = port.isdigit() and "." in host and scheme not in _OF_BUCKETS
    if colon and not is_port and "@" in rest:
        return rest.rpartition("@")[0] + "@"
    return first
