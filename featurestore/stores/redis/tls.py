"""What TLS connections to Redis check, and which certificate they show."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from featurestore.errors import SettingsError
from featurestore.stores.redis.address import Access

if TYPE_CHECKING:
    import ssl

__all__ = ["is_untrusted", "tls_context"]


@functools.cache
def tls_context(access: Access) -> ssl.SSLContext:
    """Make the context for an access; SettingsError names a file that is not there or is no certificate."""
    import ssl

    context = ssl.create_default_context()
    if access.ssl_cert_reqs == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not access.ssl_check_hostname:
        context.check_hostname = False
    _load("ssl_ca_certs", access.ssl_ca_certs, lambda: context.load_verify_locations(access.ssl_ca_certs))
    _load(
        "ssl_certfile and ssl_keyfile",
        access.ssl_certfile,
        lambda: context.load_cert_chain(
            access.ssl_certfile, access.ssl_keyfile or None, access.ssl_keyfile_password or None
        ),
    )
    return context


def is_untrusted(error: OSError) -> bool:
    """Say whether a connection failed as the server's certificate was not accepted."""
    import ssl

    return isinstance(error, ssl.SSLCertVerificationError)


def _load(name: str, path: str, load: Callable[[], None]) -> None:
    if not path:
        return
    try:
        load()
    except OSError as error:
        raise SettingsError(
            f"online_store: {name}: found {path!r}, which cannot be loaded: {error}; valid are PEM files"
        ) from error
