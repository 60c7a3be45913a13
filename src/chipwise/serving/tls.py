"""Certificates: whether what was given can be used, before a server that cannot say so is started with it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from chipwise.serving.settings import Settings


def check_tls(settings: Settings) -> None:
    """Refuse certificates and keys that cannot be used.

    Raises:
        InputError: one is missing, cannot be read, needs a password, or does not belong to the other.
    """
    cert, key, authority = settings.tls_cert, settings.tls_key, settings.client_ca
    if (cert is None) != (key is None) or (authority is not None and cert is None):
        raise InputError("a certificate and its key are given together; --client-ca needs both")
    if cert is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")  # else it would ask on the terminal
        if authority is not None:
            context.load_verify_locations(authority)
    except (OSError, ValueError) as error:  # OpenSSL's errors are OSErrors
        given = ", ".join(str(path) for path in (cert, key, authority) if path is not None)
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot use {given}: {reason}", hint="PEM files; a key without a password") from error
