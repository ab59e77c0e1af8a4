"""The mesh's own network interface: its address for DNS and proxy, and routes for ClusterIPs.

A dummy interface, or an empty bridge where the kernel has none. It belongs to nobody else, so to delete it
takes away everything that was put there. ClusterIPs are routed to it, not assigned: a host without a default
route has a way to them, and no other program of the host answers at them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from edgelab.daemon.errors import Fatal
from edgelab.edgemesh.commands import CommandError, run

KINDS = ("dummy", "bridge")


class Interface:
    """Made by `up`, removed by `down`."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self._routes: set[str] = set()

    async def up(self) -> None:
        """Make it anew, with its address. Raises Fatal with what `ip` says."""
        await self.down()
        try:
            await self._create()
            with suppress(CommandError):  # a kernel without IPv6 has no such addresses to leave out
                await run("ip", "link", "set", self.name, "addrgenmode", "none")
            await run("ip", "addr", "add", f"{self.address}/32", "dev", self.name)
            await run("ip", "link", "set", self.name, "up")
        except CommandError as error:
            raise Fatal(f"commonConfig.bridgeDevice: {error}") from None

    async def down(self) -> None:
        """Remove it, whoever made it; nothing happens when there is none."""
        self._routes.clear()
        with suppress(CommandError):
            await run("ip", "link", "delete", self.name)

    async def route(self, addresses: Iterable[str]) -> None:
        """Let these addresses, and no others, be found here. Raises CommandError."""
        wanted = set(addresses)
        lines = [f"route delete {ip}/32 dev {self.name}" for ip in sorted(self._routes - wanted)]
        lines += [f"route replace {ip}/32 dev {self.name}" for ip in sorted(wanted - self._routes)]
        if lines:
            await run("ip", "-force", "-batch", "-", text="\n".join(lines) + "\n")
            self._routes = wanted

    async def _create(self) -> None:
        for kind in KINDS:
            try:
                await run("ip", "link", "add", self.name, "type", kind)
            except CommandError as error:
                if "Unknown device type" not in str(error) or kind == KINDS[-1]:
                    raise
                continue
            return
