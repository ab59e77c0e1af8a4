"""TLS of both brokers, with certificates that are renewed while EdgeCore runs."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from edgelab.daemon.errors import Fatal
from edgelab.settings.edgecore import EventBusTLS

log = logging.getLogger(__name__)

WHERE = "modules.eventBus.eventBusTLS"


class Tls:
    """A context with the files that it was made of, if any. Raises Fatal when they cannot be used."""

    def __init__(
        self, context: ssl.SSLContext, files: EventBusTLS | None = None, *, check_peer: bool = False
    ) -> None:
        self.context = context
        self._files = files
        self._check_peer = check_peer
        self._loaded = self._tried = self._state()
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            raise Fatal(f"{WHERE}: a file cannot be used: {error}") from error

    def refresh(self) -> None:
        """Take over files that were replaced; until they can be used, the last ones stay in force."""
        state = self._state()
        if state == self._loaded:
            return
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            level = logging.DEBUG if state == self._tried else logging.WARNING
            log.log(level, "%s: a file cannot be used, what was read before stays: %s", WHERE, error)
        else:
            self._loaded = state
            log.info("%s: took over renewed files", WHERE)
        self._tried = state

    def _load(self) -> None:
        if self._files is None:
            return
        if self._check_peer:
            self.context.load_verify_locations(self._files.tlsMqttCAFile)
        self.context.load_cert_chain(self._files.tlsMqttCertFile, self._files.tlsMqttPrivateKeyFile)

    def _state(self) -> list[tuple[int, int]]:
        files = self._files
        if files is None:
            return []
        return [
            _seen(name) for name in (files.tlsMqttCAFile, files.tlsMqttCertFile, files.tlsMqttPrivateKeyFile)
        ]


def _seen(name: str) -> tuple[int, int]:
    try:
        state = Path(name).stat()
    except OSError:
        return (0, 0)
    return (state.st_mtime_ns, state.st_ino)


def client_tls(files: EventBusTLS, *, encrypted: bool) -> Tls | None:
    """TLS towards the external broker: with `enable` it is checked and shown our certificate."""
    if not encrypted and not files.enable:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if files.enable:
        return Tls(context, files, check_peer=True)
    # As the original does; whoever wants the broker checked enables eventBusTLS.
    log.warning("the MQTT broker's certificate is not checked; eventBusTLS.enable: true checks it")
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return Tls(context)


def server_tls(files: EventBusTLS, *, encrypted: bool) -> Tls | None:
    """TLS of the internal broker: with `enable` clients must show a certificate of the CA."""
    if not encrypted:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    tls = Tls(context, files, check_peer=files.enable)
    if files.enable:
        context.verify_mode = ssl.CERT_REQUIRED
    return tls
