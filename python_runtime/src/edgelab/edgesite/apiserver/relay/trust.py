"""Who we are to kubelets, and whom we take for one.

The certificate is made when it is needed first, and anew before it expires.
"""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

from cryptography import x509

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver.relay.places import Place
from edgelab.edgesite.keys import write_private
from edgelab.identity.ca import CertificateAuthority

NAME, GROUP = "kube-apiserver-kubelet-client", "system:masters"
"""kubeadm's name for it; the group is what a kubelet that asks us back is told to obey."""
DAYS = 365
RENEW_BEFORE = dt.timedelta(days=60)


class KubeletTrust:
    """TLS contexts. `authority_file` holds who signs kubelets' certificates; None: any will do."""

    def __init__(
        self, directory: Path, authority: CertificateAuthority, authority_file: Path | None, clock: Clock
    ) -> None:
        self._files = directory / "kubelet-client.crt", directory / "kubelet-client.key"
        self._authority = authority
        self._authority_file = authority_file
        self._clock = clock
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._good_until: dt.datetime | None = None
        self._others: ssl.SSLContext | None = None

    def context(self, place: Place) -> ssl.SSLContext | None:
        """For kubelets with our certificate, for others without one; None where no TLS is spoken."""
        if place.scheme != "https":
            return None
        if not place.trusted:
            self._others = self._others or _any()
            return self._others
        return self.kubelet(checked=not place.unchecked)

    def kubelet(self, *, checked: bool) -> ssl.SSLContext:
        """With our certificate."""
        checked = checked and self._authority_file is not None
        self._renew()
        if checked not in self._contexts:
            context = ssl.create_default_context(cafile=self._authority_file) if checked else _any()
            context.load_cert_chain(*self._files)
            self._contexts[checked] = context
        return self._contexts[checked]

    def _renew(self) -> None:
        now = self._clock.now()
        if self._good_until is None:
            self._good_until = self._expiry()
        if self._good_until is not None and now + RENEW_BEFORE < self._good_until:
            return
        pair = self._authority.issue(common_name=NAME, organization=GROUP, client=True, days=DAYS)
        write_private(self._files[1], pair.key_pem)
        write_private(self._files[0], pair.cert_pem)
        self._good_until = self._expiry()
        self._contexts.clear()

    def _expiry(self) -> dt.datetime | None:
        """Of the certificate on the disk, if there is one that fits to its key and is ours."""
        try:
            certificate = x509.load_pem_x509_certificate(self._files[0].read_bytes())
            _any().load_cert_chain(*self._files)
            authority = x509.load_pem_x509_certificate(self._authority.cert_pem)
            certificate.verify_directly_issued_by(authority)
        except Exception:  # whatever is wrong with the files, new ones are made
            return None
        return certificate.not_valid_after_utc


def _any() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
