"""What `keadm cert list` and `check` find: certificates of the cluster's Secrets and of this host's files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelab.cloudcore.cloudhub.pki import CA_SECRET, SERVER_SECRET, SecretStore
from edgelab.daemon.clock import rfc3339
from edgelab.identity import inspect
from edgelab.identity.ca import load_certificate
from edgelab.keadm.checks import address as checked_address
from edgelab.keadm.cloud import NAMESPACE
from edgelab.keadm.cluster import call
from edgelab.keadm.report import Failure
from edgelab.kube.interface import KubeApi

Entry = dict[str, Any]


def gather(
    kube_config: Path | None,
    config: Path | None,
    files: Sequence[Path],
    addresses: Sequence[str] = (),
    names: Sequence[str] = (),
) -> list[Entry]:
    """All certificates that can be seen from here. Raises Failure when there is nothing to look at."""
    found: list[Entry] = []
    wanted = [checked_address(text, "--address") for text in addresses]
    if kube_config is not None and (kube_config.exists() or config is None):
        found += call(kube_config, lambda api: of_cluster(api, wanted, list(names)))
    elif wanted or names:
        raise Failure(f"{kube_config or 'a kubeconfig'} is not there: CloudCore's certificate cannot be seen")
    own = edge_certificate(config) if config is not None else None
    if own is not None and own not in files:
        files = [own, *files]
    for path in files:
        found.append(entry("edge" if path == own else "file", str(path), read(path)))
    if not found:
        looked = " nor ".join(str(path) for path in (kube_config, config) if path is not None)
        raise Failure(f"there is no certificate to be seen by {looked}: name one with --file")
    return found


async def of_cluster(api: KubeApi, addresses: list[str], names: list[str]) -> list[Entry]:
    """Authority and CloudCore's certificate. Raises Failure for what is not there or cannot be read."""
    store = SecretStore(api, NAMESPACE)
    found = []
    for name, secret, key in (("ca", CA_SECRET, "cadata"), ("cloudcore", SERVER_SECRET, "cloudcoredata")):
        data = (await store.read(secret) or {}).get(key)
        if data is None:
            raise Failure(
                f"there is no Secret {NAMESPACE}/{secret} with {key} yet: CloudCore makes it when it starts,"
                " `keadm cert ensure` before"
            )
        wanted = (addresses, names) if name == "cloudcore" else ([], [])
        found.append(entry(name, f"Secret {NAMESPACE}/{secret}", data, *wanted))
    return found


def edge_certificate(config: Path) -> Path | None:
    """The certificate file that an edgecore.yaml names, if both are there."""
    if not config.exists():
        return None
    from edgelab.keadm.joining import load_settings

    path = Path(load_settings(config).modules.edgeHub.tlsCertFile)
    return path if path.exists() else None


def read(path: Path) -> bytes:
    """A certificate file. Raises OSError."""
    return path.read_bytes()


def entry(
    name: str, source: str, data: bytes, addresses: Sequence[str] = (), names: Sequence[str] = ()
) -> Entry:
    """One certificate for the answer. Raises Failure when it cannot be read."""
    try:
        certificate = load_certificate(data)
    except ValueError:
        raise Failure(f"{source} holds no certificate that can be read") from None
    facts = inspect.facts(certificate)
    return {
        "name": name,
        "source": source,
        "common_name": facts.common_name,
        "organization": facts.organization,
        "not_before": rfc3339(facts.not_before),
        "not_after": rfc3339(facts.not_after),
        "days_left": facts.days_left(dt.datetime.now(dt.UTC)),
        "addresses": facts.addresses,
        "dns_names": facts.dns_names,
        "fingerprint": facts.fingerprint,
        "missing": inspect.missing(certificate, addresses, names),
    }


def problems(found: list[Entry], days: int) -> list[str]:
    """What is wrong, each with the fix."""
    told = []
    for one in found:
        fix = FIXES.get(one["name"], "replace it")
        if one["days_left"] < 0:
            told.append(f"{one['source']} ended at {one['not_after']}: {fix}")
        elif one["days_left"] < days:
            told.append(f"{one['source']} ends in {one['days_left']} days, at {one['not_after']}: {fix}")
        if one["missing"]:
            told.append(
                f"{one['source']} does not name {', '.join(one['missing'])}: `keadm cert ensure` with all"
                " addresses, then restart CloudCore"
            )
    return told


FIXES = {
    "ca": "make a new authority (every node has to join again)",
    "cloudcore": "`keadm cert rotate server`, then restart CloudCore",
    "edge": "`keadm cert rotate edge`, then restart EdgeCore",
}


def table(found: list[Entry]) -> str:
    """For people."""
    lines = []
    for one in found:
        names = ", ".join([*one["addresses"], *one["dns_names"]])
        lines.append(
            f"{one['name']:<10} {one['not_after']}  {one['days_left']:>6} days  {one['common_name']}"
        )
        lines.append(f"{'':<10} {one['source']}" + (f"; for {names}" if names else ""))
    return "\n".join(lines)
