"""The dummy interface whose address pods reach MetaServer by, where 127.0.0.1 would be their own.

Facts: KubeEdge `edge/pkg/metamanager/metaserver/agent` (docs/reference/metaserver.md).
"""

from __future__ import annotations

import asyncio

from edgelab.daemon.errors import Fatal

INTERFACE = "edge-dummy0"


async def ensure(address: str) -> None:
    """Make the interface with its address, where it is not there. Raises Fatal with what `ip` says."""
    if f"{address}/" in await _ip("-o", "addr", "show", check=False):
        return
    if INTERFACE not in await _ip("-o", "link", "show", check=False):
        await _ip("link", "add", INTERFACE, "type", "dummy")
    await _ip("link", "set", INTERFACE, "up")
    await _ip("addr", "add", f"{address}/32", "dev", INTERFACE)


async def _ip(*words: str, check: bool = True) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            "ip", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise Fatal("MetaServer needs the program `ip` (package iproute2) for its interface") from None
    output, errors = await process.communicate()
    if check and process.returncode != 0:
        text = errors.decode(errors="replace").strip()
        raise Fatal(f"interface {INTERFACE} for MetaServer: `ip {' '.join(words)}`: {text}")
    return output.decode(errors="replace")
