"""A mesh agent's connection on the tunnels' port, as the relay takes it."""

from __future__ import annotations

from edgelab.cloudcore.cloudhub.hub import GOING_AWAY
from edgelab.cloudcore.cloudhub.link import Gone
from edgelab.cloudcore.cloudstream.sessions import TunnelLink


class MeshLink:
    """`meshrelay.relay.MeshConnection` on a link whose certificate has been looked at."""

    def __init__(self, link: TunnelLink) -> None:
        self._link = link
        self.node = link.peer.node

    async def receive(self) -> bytes | str:
        """The next message. Raises ConnectionError at the end."""
        try:
            message = await self._link.receive()
        except Gone as gone:
            raise ConnectionResetError(str(gone)) from None
        return message.decode(errors="replace") if self._link.was_text else message

    async def send(self, data: bytes | str) -> None:
        """Send one, waiting while the other side takes none. Raises ConnectionError."""
        try:
            if isinstance(data, str):
                await self._link.send(data.encode())
            else:
                await self._link.send(data, binary=True)
        except Gone as gone:
            raise ConnectionResetError(str(gone)) from None

    async def close(self) -> None:
        """End it; may be called more than once."""
        await self._link.close(GOING_AWAY, "")
