"""Certificates and join token of CloudHub: where they come from, when they are made anew."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from tests.cloudcore.cloud import Api

from edgelab.cloudcore.cloudhub.pki import RENEW_BEFORE, SERVER_DAYS, SecretStore, TokenKeeper, prepare
from edgelab.daemon.clock import SystemClock
from edgelab.daemon.errors import Fatal, Unreachable
from edgelab.identity import inspect, token
from edgelab.identity.ca import CertificateAuthority, load_certificate
from edgelab.kube.resources import SECRETS
from edgelab.settings.cloudcore import CloudHub


class Later(SystemClock):
    """The machine's clock, moved; sleeping moves it further."""

    def __init__(self) -> None:
        self.ahead = dt.timedelta()
        self.sleeps: list[float] = []

    def now(self) -> dt.datetime:
        return super().now() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.ahead += dt.timedelta(seconds=seconds)
        if len(self.sleeps) > 400:
            raise KeyboardInterrupt


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def store(api: Api) -> SecretStore:
    return SecretStore(api, "kubeedge")


def hub(directory: Path, **changes: object) -> CloudHub:
    names = ("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile")
    settings = CloudHub(advertiseAddress=["127.0.0.1"], **{name: str(directory / name) for name in names})
    for name, value in changes.items():
        setattr(settings, name, value)
    return settings


async def test_a_new_authority_is_kept_in_der_under_the_original_s_names(
    api: Api, store: SecretStore, tmp_path: Path
) -> None:
    pki = await prepare(store, hub(tmp_path))
    assert {obj["metadata"]["name"] for obj in api.all(SECRETS)} == {"casecret", "cloudcoresecret"}
    assert await store.read("casecret") == {"cadata": pki.ca.cert_der, "cakeydata": pki.ca.key_der}
    assert set(await store.read("cloudcoresecret") or {}) == {"cloudcoredata", "cloudcorekeydata"}


async def test_local_files_win_over_the_secret_and_are_written_back(
    store: SecretStore, tmp_path: Path
) -> None:
    await prepare(store, hub(tmp_path))
    own = CertificateAuthority.create("Mine")
    settings = hub(tmp_path)
    Path(settings.tlsCAFile).write_bytes(own.cert_pem)
    with pytest.raises(Fatal, match="provide both files or neither"):
        await prepare(store, settings)
    Path(settings.tlsCAKeyFile).write_bytes(own.key_pem)
    pki = await prepare(store, settings)
    assert pki.ca.cert_der == own.cert_der
    assert (await store.read("casecret") or {})["cadata"] == own.cert_der


async def test_an_authority_that_starts_tomorrow_is_refused_with_both_times(
    store: SecretStore, tmp_path: Path
) -> None:
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    own = CertificateAuthority.create("Mine", lambda: tomorrow)
    settings = hub(tmp_path)
    Path(settings.tlsCAFile).write_bytes(own.cert_pem)
    Path(settings.tlsCAKeyFile).write_bytes(own.key_pem)
    with pytest.raises(Fatal, match=r"valid from .* to .*, and this machine's clock says"):
        await prepare(store, settings)


async def test_a_damaged_server_certificate_is_replaced(api: Api, store: SecretStore, tmp_path: Path) -> None:
    await prepare(store, hub(tmp_path))
    await store.write("cloudcoresecret", {"cloudcoredata": b"rubbish"})
    await prepare(store, hub(tmp_path))
    assert (await store.read("cloudcoresecret") or {})["cloudcoredata"] != b"rubbish"


async def test_the_server_certificate_follows_the_advertised_addresses(
    store: SecretStore, tmp_path: Path
) -> None:
    first = await prepare(store, hub(tmp_path))
    assert (await prepare(store, hub(tmp_path))).server.cert_pem == first.server.cert_pem
    wanted = {"advertiseAddress": ["127.0.0.1", "10.0.0.9", "fd00::1"], "dnsNames": ["cloud.example"]}
    moved = await prepare(store, hub(tmp_path, **wanted))
    assert moved.server.cert_pem != first.server.cert_pem
    assert moved.ca.cert_der == first.ca.cert_der
    certificate = load_certificate(moved.server.cert_pem)
    assert inspect.alternative_names(certificate) == (wanted["advertiseAddress"], wanted["dnsNames"])
    assert load_certificate((await store.read("cloudcoresecret") or {})["cloudcoredata"]) == certificate
    other = await prepare(store, hub(tmp_path, advertiseAddress=["10.0.0.8"], dnsNames=[]))
    named = inspect.alternative_names(load_certificate(other.server.cert_pem))
    assert named == (["10.0.0.8", *wanted["advertiseAddress"]], ["cloud.example"])
    moved = other
    fewer = await prepare(store, hub(tmp_path))
    assert fewer.server.cert_pem == moved.server.cert_pem


async def test_a_server_certificate_that_is_about_to_end_is_made_anew(
    store: SecretStore, tmp_path: Path
) -> None:
    clock = Later()
    first = await prepare(store, hub(tmp_path), clock)
    clock.ahead += dt.timedelta(days=SERVER_DAYS) - RENEW_BEFORE - dt.timedelta(days=1)
    assert (await prepare(store, hub(tmp_path), clock)).server.cert_pem == first.server.cert_pem
    clock.ahead += dt.timedelta(days=2)
    assert (await prepare(store, hub(tmp_path), clock)).server.cert_pem != first.server.cert_pem


async def test_the_token_is_renewed_before_it_ends_although_the_api_fails_for_a_while(
    api: Api, store: SecretStore
) -> None:
    clock = Later()
    ca = CertificateAuthority.create("KubeEdge", clock.now)
    keeper = TokenKeeper(store, ca, 12, clock)
    await keeper.renew()
    first = (await store.read("tokensecret") or {})["tokendata"]
    await keeper.renew()
    assert (await store.read("tokensecret") or {})["tokendata"] == first
    clock.ahead += dt.timedelta(hours=12, minutes=1)
    api.fail_next = [Unreachable("down")] * 3
    with pytest.raises(KeyboardInterrupt):
        await keeper.run()
    latest = (await store.read("tokensecret") or {})["tokendata"].decode()
    assert latest != first.decode()
    token.verify(token.split(latest).jwt, ca.key_der, clock.now() + dt.timedelta(hours=11))
