"""The proxy subresource of pods, services and nodes."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from multidict import CIMultiDict
from tests.edgesite.apiserver.running import Client
from tests.edgesite.apiserver.test_relayed_logs import PODS, admit
from tests.edgesite.kubelets import PAGE, Kubelet, kubelet

from edgelab.edgesite.apiserver.relay import dialing, places, rewriting

MERGE = "application/merge-patch+json"
SERVICES = "/api/v1/namespaces/default/services"
ADDRESS = "10.9.8.7"
READY = [{"type": "Ready", "status": "True"}]


@pytest.fixture
async def there(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kubelet]:
    """A kubelet that is a pod as well. Nothing may lead to the loopback device: its address is ADDRESS."""
    connected = dialing._connected

    async def here(place: places.Place) -> socket.socket:
        assert place.host == ADDRESS
        return await connected(place._replace(host="127.0.0.1"))

    monkeypatch.setattr(dialing, "_connected", here)
    async with kubelet(tmp_path) as made:
        made.host = ADDRESS
        await admit(client, "n1", made, "web")
        status = {"phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}], "conditions": READY}
        await client.call("PATCH", f"{PODS}/web/status", {"status": status}, type=MERGE)
        await client.call("PATCH", f"{PODS}/web", {"metadata": {"labels": {"app": "web"}}}, type=MERGE)
        yield made


async def test_requests_reach_pods_and_nodes(client: Client, there: Kubelet) -> None:
    base = f"{PODS}/https:web:{there.port}/proxy"
    assert await client.call("GET", f"{base}/echo/a%20b/?x=%20y") == (200, "GET /echo/a%20b/?x=%20y ")
    assert await client.call("POST", f"{base}/echo", "sent") == (200, "POST /echo sent")
    assert await client.call("DELETE", "/api/v1/nodes/n1/proxy/echo") == (200, "DELETE /echo ")
    head = there.requests[0]
    assert "X-Forwarded-For: 127.0.0.1\r\n" in head
    assert f"X-Forwarded-Uri: {base}/echo/a%20b/\r\n" in head
    assert "authorization" not in head.lower()


async def test_the_root_is_a_folder(client: Client, there: Kubelet) -> None:
    path = f"/api/v1/nodes/n1:{there.port}/proxy"
    async with client.admin.get(f"{client.base}{path}?a=b", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (301, f"{path}/?a=b")


async def test_pages_and_redirects_stay_behind_the_proxy(client: Client, there: Kubelet) -> None:
    base = "/api/v1/nodes/n1/proxy"
    async with client.admin.get(f"{client.base}{base}/page") as response:
        assert "Access-Control-Allow-Origin" not in response.headers
        page = await response.read()
    assert page.decode() == (
        f'<html><head><link href="{base}/a.css"></head>'
        f'<a href="{base}/x?a=1&amp;b=2">é</a><a href="y">z</a></html>'
    )
    async with client.admin.get(f"{client.base}{base}/moved", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, f"{base}/echo/there/")


async def test_half_an_answer_is_not_taken_for_the_whole(client: Client, there: Kubelet) -> None:
    with pytest.raises(Exception, match=r"not completed|closed|disconnected|payload"):
        await client.call("GET", "/api/v1/nodes/n1/proxy/cut")


async def test_a_service_leads_to_one_of_its_pods(client: Client, there: Kubelet) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"name": "tls", "port": 443, "targetPort": there.port}]}
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}
    assert (await client.call("POST", SERVICES, made))[0] == 201
    async with asyncio.timeout(10):
        while (await client.call("GET", f"{SERVICES}/https:s:tls/proxy/echo"))[0] != 200:
            await asyncio.sleep(0.05)
    assert await client.call("GET", f"{SERVICES}/https:s:443/proxy/echo") == (200, "GET /echo ")
    code, status = await client.call("GET", f"{SERVICES}/s:80/proxy/")
    assert (code, status["message"]) == (503, 'no service port 80 found for service "s"')


async def test_an_upgrade_goes_through_the_proxy(client: Client, there: Kubelet) -> None:
    path = "/api/v1/nodes/n1/proxy/exec/default/web/c?command=echo&output=1"
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    async with client.admin.get(client.base + path, headers=headers) as response:
        assert (response.status, response.headers["Upgrade"]) == (101, "SPDY/3.1")
        response.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.0.1", "0.0.0.0", "224.0.0.1", ""])
def test_no_way_to_our_own_host(address: str) -> None:
    assert not places.is_proxyable(address)
    assert places.is_proxyable("10.0.0.1")


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
async def test_pages_are_rewritten_in_pieces_of_any_size(size: int, encoding: str) -> None:
    place = places.Place("http", "10.0.0.1", 80, "/page")
    links = rewriting.Links("/proxy", place)
    wbits = rewriting.WINDOWS.get(encoding)
    text = b'<!-- <a href="/no"> --><script>if (a</b/) "<a href=/no>"</script>1 < 2 &amp; '
    text += b"<A\nTITLE=it's HREF = '/q'>"
    text += b'<img src="http://10.0.0.1:80/i"/><a href="http://other/x">' + PAGE + b"<a href=/unfinished"
    packer = zlib.compressobj(wbits=wbits) if wbits else None
    data = packer.compress(text) + packer.flush() if packer else text

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    found = b"".join([part async for part in rewriting.page(pieces(), encoding, links, "edgesite:6443")])
    found = zlib.decompress(found, wbits) if wbits else found
    wanted = (
        '<!-- <a href="/no"> --><script>if (a</b/) "<a href=/no>"</script>1 < 2 &amp; '
        '<a title="it&#39;s" href="/proxy/q"><img src="/proxy/i"/><a href="http://other/x">'
        '<html><head><link href="/proxy/a.css"></head>'
        '<a href="/proxy/x?a=1&amp;b=2">é</a><a href="y">z</a></html>'
        "<a href=/unfinished"
    )
    assert found.decode() == wanted
    assert rewriting.is_html(CIMultiDict({"Content-Type": "text/html; charset=x"}))
