"""Which requests go on to a kubelet or a service; what does it is loaded with the first of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgelab.edgesite.apiserver.authorization import Authorizer
from edgelab.edgesite.apiserver.registry import Registry

if TYPE_CHECKING:
    from edgelab.daemon.clock import Clock
    from edgelab.edgesite.apiserver.relay.connections import Relay
    from edgelab.edgesite.settings import Settings
    from edgelab.identity.ca import CertificateAuthority

MakeRelay = Callable[[], "Relay"]


def relay(
    settings: Settings,
    registry: Registry,
    authorizer: Authorizer,
    authority: CertificateAuthority,
    clock: Clock,
) -> MakeRelay:
    """What makes the relay."""

    def make() -> Relay:
        from edgelab.edgesite.apiserver.relay import connections, trust  # noqa: PLC0415 - rare

        directory, wanted = settings.data_dir / "tls", settings.kubelet
        kubelets = trust.KubeletTrust(directory, authority, wanted.authority, clock)
        return connections.Relay(registry, authorizer, kubelets, wanted.address_types)

    return make
