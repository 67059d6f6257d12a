"""Certificate and key of the service: checked at the start, exchanged while it runs."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from calotype import errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

logger = logging.getLogger(__name__)

WARN_BEFORE_DAYS = 30
# TLS 1.2 with forward secrecy and authenticated encryption only; 1.3 has no others.
_CIPHERS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
_PROTECTED = "the key is protected by a password"

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Where the certificate is.

    Attributes:
        certificate: PEM file, the service's own certificate first, then its chain.
        key: PEM file with the private key, without a password.
        exact_1_2: speak TLS 1.2 alone, as the original did; otherwise 1.2 and 1.3.
    """

    certificate: Path
    key: Path
    exact_1_2: bool = False


class TlsCertificate:
    """A certificate in use. `context` stays the same object when the files are exchanged.

    Args:
        settings: the files.

    Raises:
        UnreadableFile: a file is not there or may not be read.
        UnparsableFile: no certificate or key in it, a key of another certificate, one with a
            password, or an expired certificate.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings
        self._stamp = _stamp(settings)
        self._leaf = _check(settings)
        self.context = _make_context(settings)
        self._warned_of: Stamp | None = None

    def reload_if_changed(self) -> bool:
        """Use new files for new connections; return whether there were usable ones.

        Cheap when nothing has changed: two calls of `stat`. Files that cannot be used are logged
        once, and the old pair stays in use: a renewal writes one file after the other.
        """
        try:
            stamp = _stamp(self.settings)
            if stamp == self._stamp:
                return False
            leaf = _check(self.settings)
            _make_context(self.settings)  # a failure in the live one could leave half a pair
            _load(self.context, self.settings)
        except errors.CalotypeError as error:
            self._log_once(error)
            return False
        self._stamp, self._leaf, self._warned_of = stamp, leaf, None
        logger.info("The new TLS certificate is in use, until %s", leaf.expires_at.isoformat())
        return True

    def _log_once(self, error: errors.CalotypeError) -> None:
        try:
            stamp = _stamp(self.settings)
        except errors.CalotypeError:
            stamp = (0, 0, 0, 0)
        if stamp != self._warned_of:
            self._warned_of = stamp
            logger.error("The old TLS certificate stays in use: %s", error)

    @property
    def expires_at(self) -> datetime:
        """When the service's own certificate ends."""
        return self._leaf.expires_at

    @property
    def seconds_left(self) -> float:
        """How long it is still valid; negative afterwards."""
        return (self.expires_at - datetime.now(UTC)).total_seconds()

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts that it is for, DNS names first; wildcards as they are."""
        return self._leaf.names

    @property
    def warning(self) -> str:
        """A sentence when it has less than 30 days left, nothing before."""
        days = self.seconds_left / 86400
        if days >= WARN_BEFORE_DAYS:
            return ""
        when = f"on {self.expires_at:%Y-%m-%d}"
        if days <= 0:
            return f"The TLS certificate expired {when}. Put a new one into its place."
        return (
            f"The TLS certificate expires {when}, in {days:.0f} days. Put a new one into its "
            "place: it is taken up without a restart."
        )


@dataclass(frozen=True, slots=True)
class _Leaf:
    expires_at: datetime
    names: tuple[str, ...]


def _stamp(settings: TlsSettings) -> Stamp:
    times: list[int] = []
    for path in (settings.certificate, settings.key):
        try:
            status = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from None
        times += (status.st_mtime_ns, status.st_size)
    return (times[0], times[1], times[2], times[3])


def _check(settings: TlsSettings) -> _Leaf:
    """Return what the certificate says, after checking all that OpenSSL reports unclearly."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    where = str(settings.certificate)
    try:
        certificate = x509.load_pem_x509_certificates(_read(settings.certificate))[0]
    except ValueError:
        raise errors.UnparsableFile(
            "expected a certificate in PEM form",
            where=where,
            got="none that can be read",
            action="Its lines begin with -----BEGIN CERTIFICATE-----.",
        ) from None
    shapes = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    own = certificate.public_key().public_bytes(*shapes)
    if _public_key(settings.key).public_bytes(*shapes) != own:
        raise errors.UnparsableFile(
            f"expected the private key of the first certificate in {settings.certificate.name}",
            where=str(settings.key),
            got="the key of another one",
            action="Give the pair that was issued together; the chain follows the certificate.",
        )
    expires_at = certificate.not_valid_after_utc
    if expires_at <= datetime.now(UTC):
        raise errors.UnparsableFile(
            "expected a certificate that is valid today",
            where=where,
            got=f"one that expired on {expires_at:%Y-%m-%d}",
            action="Renew it.",
        )
    return _Leaf(expires_at, _names(certificate))


def _names(certificate: object) -> tuple[str, ...]:
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    hosts = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return (*hosts, *map(str, addresses))


def _public_key(path: Path) -> PublicKeyTypes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    got = "none that can be read"
    try:
        return load_pem_private_key(_read(path), password=None).public_key()
    except TypeError:
        got = _PROTECTED
    except ValueError:
        pass
    raise errors.UnparsableFile(
        "expected a private key in PEM form, without a password",
        where=str(path),
        got=got,
        action="`openssl pkey -in KEY -out NEW` writes it in that form.",
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> errors.UnreadableFile:
    return errors.UnreadableFile(
        "expected a readable file for TLS",
        where=str(path),
        got=error.strerror or "an I/O error",
        action="Check the path and who may read it.",
    )


def _make_context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.exact_1_2:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS_1_2)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _load(context, settings)
    return context


def _load(context: ssl.SSLContext, settings: TlsSettings) -> None:
    try:
        # Without a function for the password OpenSSL would ask on the terminal.
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        raise errors.UnparsableFile(
            "expected a certificate and key that OpenSSL takes",
            where=str(settings.certificate),
            got=error.strerror or type(error).__name__,
            action="Check that both files are whole.",
        ) from None
