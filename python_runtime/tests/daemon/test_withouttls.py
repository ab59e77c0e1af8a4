"""Programs that speak no TLS do not load it, and those that do after all find it as ever."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.edgecore.cloud_peer import Pki

BEGIN = """
import sys
from edgelab.daemon.withouttls import without_tls
with without_tls():
    import asyncio, grpclib.client
assert sorted(m for m in sys.modules if m in ("ssl", "_ssl")) == []
"""
PLAIN = """
async def main():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    grpclib.client.Channel(path="/nowhere")
asyncio.run(main())
sys.exit("ssl" in sys.modules)
"""
SECURE = """
async def hello(reader, writer):
    await writer.start_tls(server_side)
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()
async def main():
    global server_side
    import ssl
    assert asyncio.sslproto.SSLAgainErrors == (ssl.SSLWantReadError, ssl.SSLSyscallError)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain("cloud.crt", "cloud.key")
    client_side = ssl.create_default_context(cafile="rootCA.crt")
    server = await asyncio.start_server(hello, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(*address)
    await writer.start_tls(client_side, server_hostname="127.0.0.1")
    writer.write(b"hello\\n")
    assert await reader.readline() == b"hello\\n"
    grpclib.client.Channel(*address, ssl=client_side)
    try:
        await asyncio.get_running_loop().start_tls(None, None, object())
    except TypeError as error:
        assert "SSLContext" in str(error)
asyncio.run(main())
"""


async def runs(code: str, directory: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BEGIN + code, cwd=directory, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await child.communicate()
    assert (child.returncode, errors.decode()) == (0, "")


async def test_plain_connections_do_not_load_it(tmp_path: Path) -> None:
    await runs(PLAIN, tmp_path)


async def test_connections_with_tls_work_as_ever(tmp_path: Path) -> None:
    Pki.create(tmp_path)
    await runs(SECURE, tmp_path)


async def test_one_that_is_loaded_already_stays(tmp_path: Path) -> None:
    loaded = "import ssl, asyncio\nwith without_tls():\n    import ssl as again\nassert again is ssl\n"
    await runs(loaded, tmp_path)


async def test_a_name_taken_out_of_it_inside_is_the_real_one(tmp_path: Path) -> None:
    taken = "with without_tls():\n    from ssl import SSLContext\n"
    await runs(taken + "import ssl\nassert ssl.SSLContext is SSLContext\n", tmp_path)
