"""The dummy interface whose address pods reach MetaServer by, where 127.0.0.1 would be their own.

Facts: KubeEdge `edge/pkg/metamanager/metaserver/agent` (docs/reference/metaserver.md). On a kernel without
dummy interfaces the loopback interface takes the address: pods reach it as well.
"""

from __future__ import annotations

import asyncio
import logging

from edgelab.daemon.errors import Fatal

log = logging.getLogger(__name__)

INTERFACE, LOOPBACK = "edge-dummy0", "lo"


async def ensure(address: str) -> None:
    """Give this host the address, where it has it not. Raises Fatal with what `ip` says."""
    if f" {address}/" in await _ip("-o", "addr", "show"):
        return
    interface = await _interface()
    await _ip("link", "set", interface, "up")
    await _ip("addr", "add", f"{address}/{128 if ':' in address else 32}", "dev", interface)


async def _interface() -> str:
    if f" {INTERFACE}: " in await _ip("-o", "link", "show"):
        return INTERFACE
    try:
        await _ip("link", "add", INTERFACE, "type", "dummy")
    except Fatal as error:
        if "Unknown device type" not in str(error):
            raise
        log.info("this kernel has no dummy interfaces: %s takes the address of MetaServer", LOOPBACK)
        return LOOPBACK
    return INTERFACE


async def _ip(*words: str) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            "ip", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise Fatal("MetaServer needs the program `ip` (package iproute2) for its interface") from None
    output, errors = await process.communicate()
    if process.returncode != 0:
        text = errors.decode(errors="replace").strip()
        raise Fatal(f"the interface of MetaServer: `ip {' '.join(words)}`: {text}")
    return output.decode(errors="replace")
