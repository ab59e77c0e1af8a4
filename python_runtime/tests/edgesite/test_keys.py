"""The server's certificate while the server runs for long. Not covered: the CA's own expiry."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from tests.edgesite.site import TestClock

from edgelab.edgesite import keys

DAY = 86400.0


async def presented(context: ssl.SSLContext) -> bytes:
    """The certificate that a client sees on a new connection."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        client = ssl.create_default_context()
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
    return bytes(found)


async def test_a_server_that_runs_on_renews_its_certificate_before_it_expires(tmp_path: Path) -> None:
    clock = TestClock()
    keys.load_or_create(tmp_path, ["127.0.0.1"], clock)
    context = keys.server_context(tmp_path)
    first = await presented(context)
    task = asyncio.create_task(keys.Renewal(tmp_path, ["127.0.0.1"], context, clock).run())
    for days, fresh in ((300, False), (10, True)):
        await asyncio.sleep(0)
        clock.advance(days * DAY)
        for _ in range(5):
            await asyncio.sleep(0)
        assert (await presented(context) != first) is fresh
    task.cancel()
