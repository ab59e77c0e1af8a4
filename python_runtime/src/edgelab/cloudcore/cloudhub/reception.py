"""Nodes are received here, by whatever listener: the door, then a session until one side ends it."""

from __future__ import annotations

from edgelab.cloudcore.cloudhub.conversation import Conversation
from edgelab.cloudcore.cloudhub.hub import LATER, CloudHub, Session
from edgelab.cloudcore.cloudhub.link import Link
from edgelab.cloudcore.cloudhub.peer import Door, Peer, Refusal
from edgelab.daemon.clock import SYSTEM, Clock

NODE_HEADER, WINDOW_HEADER, RESEND_HEADER = "node_id", "edgelab-window", "edgelab-resend"
HEADERS = frozenset({NODE_HEADER, WINDOW_HEADER, RESEND_HEADER})
"""Those of a handshake that matter here."""


class Reception:
    """Lets nodes in and works on their connections. Shared by all listeners."""

    def __init__(
        self,
        hub: CloudHub,
        door: Door,
        *,
        keepalive_seconds: float,
        write_seconds: float,
        window: int,
        clock: Clock = SYSTEM,
    ) -> None:
        """`window`: how many messages may be under way to one node, at most."""
        self.complaints = hub.complaints
        self._hub = hub
        self._door = door
        self._keepalive = keepalive_seconds
        self._write = write_seconds
        self._window = window
        self._clock = clock

    def refusal(self, claimed: list[str], peer: Peer) -> Refusal | None:
        """Why a node that claims these names with this certificate is not let in, or None."""
        refusal = self._door.refusal(claimed, peer)
        if refusal is not None:
            # The complaint is of the node in the certificate: what the header claims is proven by nothing.
            self.complaints.tell(peer.node, refusal.reason, f"a connection was refused: {refusal.text}")
        return refusal

    async def converse(self, link: Link) -> None:
        """Work on the connection of a node that was let in, until it ends; closes it."""
        claimed = link.header(NODE_HEADER)
        # Others may have come, and certificates been revoked, since this one was admitted.
        if refusal := self.refusal(claimed, link.peer):
            await link.close(LATER, refusal.text)
            return
        session = Session(claimed[0], self._window_of(link.header(WINDOW_HEADER)), link.peer)
        conversation = Conversation(
            self._hub,
            link,
            session,
            keepalive_seconds=self._keepalive,
            write_seconds=self._write,
            clock=self._clock,
        )
        await conversation.run(resend=link.header(RESEND_HEADER) == ["1"])

    def _window_of(self, wishes: list[str]) -> int:
        wish = wishes[0] if len(wishes) == 1 else ""
        return min(int(wish), self._window) if wish.isdecimal() and len(wish) < 9 and wish != "0" else 1
