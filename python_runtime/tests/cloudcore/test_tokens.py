"""Tokens for one node and one use: what spends them, what refuses them, and who wins a race."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cloudcore.cloud import Api, Cloud, running
from tests.cloudcore.test_join import failure
from tests.cloudcore.test_pki import Later

from edgelab.cloudcore.cloudhub import tokens
from edgelab.cloudcore.cloudhub.tokens import TokenLedger
from edgelab.daemon.errors import Fatal, Unreachable
from edgelab.identity import enrol, files, token
from edgelab.identity.ca import CertificateAuthority
from edgelab.identity.enrol import Code
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import SECRETS

DAY = dt.timedelta(days=1)
CA = CertificateAuthority.create("KubeEdge")


class Slow(Api):
    """Everybody reads before anybody writes, as it happens between two CloudCores."""

    async def update(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        await asyncio.sleep(0.01)
        return await super().update(resource, obj, namespace, subresource=subresource)


@pytest.fixture
def api() -> Api:
    return Slow()


@pytest.fixture
def clock() -> Later:
    return Later()


@pytest.fixture
def ledger(api: Api, clock: Later) -> TokenLedger:
    return TokenLedger(api, "kubeedge", clock)


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        yield found


def claims(text: str, clock: Later) -> token.Claims:
    return token.verify(token.split(text).jwt, CA.key_der, clock.now())


async def node_token(cloud: Cloud, node: str = "edge1") -> str:
    return (await TokenLedger(cloud.api, "kubeedge").mint(cloud.pki.ca, node, DAY))[1]


async def join(cloud: Cloud, text: str, node: str = "edge1") -> None:
    await asyncio.to_thread(enrol.enrol, cloud.request(node), text)


async def test_the_record_holds_no_part_of_the_token(api: Api, ledger: TokenLedger) -> None:
    record, text = await ledger.mint(CA, "edge1", DAY)
    [secret] = api.all(SECRETS)
    assert secret["metadata"]["name"] == f"edgelab-join-{record.id}"
    stored = " ".join(base64.b64decode(value).decode() for value in secret["data"].values())
    assert not [part for part in text.split(".") if part in stored or part in str(secret)]


async def test_a_node_joins_once_with_its_token_and_the_record_tells(cloud: Cloud) -> None:
    text = await node_token(cloud)
    await join(cloud, text)
    [record] = await TokenLedger(cloud.api, "kubeedge").records("edge1")
    assert record.state(dt.datetime.now(dt.UTC)) == "used"
    cloud.request().cert_file.unlink()
    error = await failure(cloud, text)
    assert error.code == Code.TOKEN
    assert f"the token {record.id} was used at" in str(error)


async def test_a_token_of_another_node_is_refused_and_stays_good(cloud: Cloud) -> None:
    text = await node_token(cloud, "edge2")
    error = await failure(cloud, text)
    assert "the token is for node 'edge2', not for 'edge1'" in str(error)
    await join(cloud, text, "edge2")


async def test_a_revoked_token_says_so_also_when_its_record_is_gone(cloud: Cloud) -> None:
    ledger = TokenLedger(cloud.api, "kubeedge")
    record, text = await ledger.mint(cloud.pki.ca, "edge1", DAY)
    assert await ledger.revoke(record)
    assert not await ledger.revoke(record)
    assert "was revoked at" in str(await failure(cloud, text))
    await cloud.api.delete(SECRETS, f"edgelab-join-{record.id}", "kubeedge")
    assert "was revoked: the cluster has no record of it" in str(await failure(cloud, text))


async def test_an_expired_node_token_says_so(cloud: Cloud) -> None:
    ledger = TokenLedger(cloud.api, "kubeedge")
    _, text = await ledger.mint(cloud.pki.ca, "edge1", dt.timedelta(seconds=-1))
    error = await failure(cloud, text)
    assert (error.code, "expired" in str(error)) == (Code.TOKEN, True)


async def test_the_shared_token_goes_on_working_for_many_nodes(cloud: Cloud) -> None:
    for node in ("edge1", "edge2"):
        await join(cloud, await cloud.token(), node)
    assert await TokenLedger(cloud.api, "kubeedge").records() == []


async def test_a_lost_answer_is_made_good_by_the_same_key(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, real = await node_token(cloud), enrol._get

    def lossy(server: str, path: str, *rest: object) -> enrol.Answer:
        answer = real(server, path, *rest)  # type: ignore[arg-type]
        if path == "/edge.crt":
            raise Fatal("connection reset", code=Code.UNREACHABLE)
        return answer

    monkeypatch.setattr(enrol, "_get", lossy)
    assert (await failure(cloud, text)).code == Code.UNREACHABLE
    monkeypatch.undo()
    await join(cloud, text)
    request = cloud.request()
    assert files.matches(request.cert_file, request.key_file)
    assert not files.pending_key(request.key_file).exists()


async def test_an_api_that_cannot_record_the_use_makes_the_edge_wait(cloud: Cloud) -> None:
    text = await node_token(cloud)
    cloud.api.refuse = ("update", "secrets", Unreachable("down"))
    assert (await failure(cloud, text)).code == Code.UNREACHABLE
    cloud.api.refuse = None
    await join(cloud, text)


async def test_one_of_two_cloudcores_wins(api: Api, ledger: TokenLedger, clock: Later) -> None:
    _, text = await ledger.mint(CA, "edge1", DAY)
    other = TokenLedger(api, "kubeedge", clock)
    results = await asyncio.gather(
        ledger.spend(claims(text, clock), "edge1", "key-a"),
        other.spend(claims(text, clock), "edge1", "key-b"),
        return_exceptions=True,
    )
    [refused] = [result for result in results if result is not None]
    assert isinstance(refused, token.TokenError)
    assert "was used at" in str(refused)
    [record] = await ledger.records()
    assert record.key == ("key-b" if results[0] is refused else "key-a")


async def test_the_same_request_at_two_cloudcores_is_one_use(
    api: Api, ledger: TokenLedger, clock: Later
) -> None:
    _, text = await ledger.mint(CA, "edge1", DAY)
    other = TokenLedger(api, "kubeedge", clock)
    found = claims(text, clock)
    await asyncio.gather(ledger.spend(found, "edge1", "key"), other.spend(found, "edge1", "key"))


async def test_a_repetition_is_accepted_for_minutes_only(ledger: TokenLedger, clock: Later) -> None:
    _, text = await ledger.mint(CA, "edge1", DAY)
    found = claims(text, clock)
    await ledger.spend(found, "edge1", "key")
    clock.ahead += tokens.REPEAT - dt.timedelta(seconds=5)
    await ledger.spend(found, "edge1", "key")
    clock.ahead += dt.timedelta(seconds=10)
    with pytest.raises(token.TokenError, match="was used at"):
        await ledger.spend(found, "edge1", "key")


@pytest.mark.parametrize("identifier", ["../casecret", "a/b", "nonsense"])
async def test_an_id_that_names_no_record_is_refused(ledger: TokenLedger, identifier: str) -> None:
    found = token.Claims(dt.datetime.now(dt.UTC), identifier, "edge1")
    with pytest.raises(token.TokenError, match="no record"):
        await ledger.spend(found, "edge1", "key")


async def test_records_go_a_week_after_their_tokens_ended(ledger: TokenLedger, clock: Later) -> None:
    await ledger.mint(CA, "edge1", DAY)
    clock.ahead += DAY + tokens.KEPT - dt.timedelta(minutes=1)
    assert await ledger.prune() == []
    clock.ahead += dt.timedelta(minutes=2)
    assert len(await ledger.prune()) == 1
    assert await ledger.records() == []


async def test_keadm_on_the_edge_host_gets_a_new_certificate_with_the_present_one(
    cloud: Cloud, tmp_path: Path
) -> None:
    from edgelab.keadm.issuing import rotate_edge

    await join(cloud, await node_token(cloud))
    request = cloud.request()
    hub = {"httpServer": request.server, "tlsCaFile": str(request.ca_file)}
    hub |= {"tlsCertFile": str(request.cert_file), "tlsPrivateKeyFile": str(request.key_file)}
    config = tmp_path / "edgecore.yaml"
    settings = {"modules": {"edged": {"hostnameOverride": "edge1"}, "edgeHub": hub}}
    config.write_text(json.dumps(settings), encoding="utf-8")
    before = request.key_file.read_bytes()
    assert rotate_edge(config, check=True).data["changed"]
    assert request.key_file.read_bytes() == before
    answer = await asyncio.to_thread(rotate_edge, config, check=False)
    assert (answer.data["node"], answer.data["restart_needed"]) == ("edge1", True)
    assert request.key_file.read_bytes() != before
    assert files.matches(request.cert_file, request.key_file)
