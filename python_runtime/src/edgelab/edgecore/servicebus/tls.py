"""ServiceBus over TLS: files that were renewed count from the next handshake on."""

from __future__ import annotations

import logging
import os
import ssl

log = logging.getLogger(__name__)


def context(certificate: str, key: str) -> ssl.SSLContext | None:
    """A server's context, None without files. Raises OSError, ssl.SSLError; never falls back to HTTP."""
    if not certificate or not key:
        return None
    outer = _loaded(certificate, key)
    newest, stamp = outer, _stamp(certificate, key)

    def choose(
        connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        nonlocal newest, stamp
        if (now := _stamp(certificate, key)) != stamp:
            stamp = now
            try:
                newest = _loaded(certificate, key)
            except (OSError, ssl.SSLError) as error:
                log.error("modules.serviceBus.tlsCertFile: %s; the older certificate stays in use", error)
        connection.context = newest

    outer.sni_callback = choose
    return outer


def _loaded(certificate: str, key: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(certificate, key)
    return made


def _stamp(*paths: str) -> list[int]:
    return [os.stat(path).st_mtime_ns for path in paths if os.path.exists(path)]
