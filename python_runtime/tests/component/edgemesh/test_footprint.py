"""The agent's memory is a promise: what it loads, and what the mapper beside it does not."""

from __future__ import annotations

import asyncio
import sys

import pytest

AGENT = (
    "import edgelab.edgemesh.__main__\n"
    "import edgelab.edgemesh.app as app\n"
    "from edgelab.daemon.deferred import defer\n"
    "defer(*app.UNUSED)\n"
    "import edgelab.edgemesh.dns.forward, edgelab.edgemesh.dns.server, edgelab.edgemesh.dns.zone\n"
    "import edgelab.edgemesh.proxy.tcp, edgelab.edgemesh.proxy.udp, edgelab.edgemesh.steering\n"
    "import edgelab.edgemesh.tunnel.agent, edgelab.kube.light\n"
)
MAPPER = "import edgelab.mappers.virtual.__main__, edgelab.mappers.sdk.dmi\n"
HEAVY = (
    "aiohttp",
    "cryptography",
    "kubernetes",
    "pydantic",
    "uvloop",
    "http.client",
    "email",
    "sqlite3",
    "json",
)
CASES = [
    *(
        (AGENT, name)
        for name in (*HEAVY, "google", "grpclib", "h2", "h11", "edgelab.kube.client", "edgelab.edgecore")
    ),
    *((MAPPER, name) for name in (*HEAVY, "ssl", "hashlib", "google.protobuf.json_format")),
]


@pytest.mark.parametrize(("program", "name"), CASES)
async def test_what_it_needs_not_is_not_loaded(program: str, name: str) -> None:
    code = (
        f"import sys\n{program}"
        f"sys.exit(', '.join(m for m in sys.modules if m == {name!r} or m.startswith({name!r} + '.')) or 0)\n"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE)
    _, errors = await child.communicate()
    assert (child.returncode, errors) == (0, b"")
