"""The cluster's certificate authority and CloudCore's certificate, as the Secrets hold them."""

from __future__ import annotations

from edgelab.cloudcore.cloudhub.pki import CA_SECRET, SERVER_SECRET, SecretStore
from edgelab.identity.ca import CertificateAuthority, load_certificate
from edgelab.keadm.cloud import NAMESPACE
from edgelab.keadm.report import Failure
from edgelab.kube.interface import KubeApi

NO_AUTHORITY = (
    f"there is no certificate authority yet (Secret {NAMESPACE}/{CA_SECRET}): CloudCore makes it when it"
    " starts, `keadm cert ensure` before"
)


async def load(api: KubeApi) -> CertificateAuthority:
    """The authority with its key. Raises Failure when there is none, or none that can be used."""
    data = await SecretStore(api, NAMESPACE).read(CA_SECRET)
    if data is None:
        raise Failure(NO_AUTHORITY)
    try:
        return CertificateAuthority.load(data["cadata"], data["cakeydata"])
    except (KeyError, ValueError) as error:
        raise Failure(f"the authority in Secret {NAMESPACE}/{CA_SECRET} cannot be used: {error}") from None


async def server_names(api: KubeApi) -> tuple[list[str], list[str]]:
    """IP addresses and DNS names in CloudCore's certificate. Raises Failure when there is none."""
    from edgelab.identity.inspect import alternative_names

    data = await SecretStore(api, NAMESPACE).read(SERVER_SECRET)
    try:
        certificate = load_certificate((data or {})["cloudcoredata"])
    except (KeyError, ValueError):
        raise Failure(
            f"there is no certificate of CloudCore yet (Secret {NAMESPACE}/{SERVER_SECRET}):"
            " CloudCore makes it when it starts"
        ) from None
    return alternative_names(certificate)
