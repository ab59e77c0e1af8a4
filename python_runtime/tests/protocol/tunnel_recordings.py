"""Recorded sessions of the original's tunnel, connection by connection."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from edgelab.protocol import tunnel
from edgelab.protocol.tunnel import Connect, Frame, Kind

FILE = Path(__file__).parent / "vectors" / "tunnel.jsonl"


@dataclass
class Recorded:
    """One connection: `frames` are those after the opening, with the side that sent them."""

    kind: int
    opening: Frame
    frames: list[tuple[str, Frame]] = field(default_factory=list)

    @property
    def connect(self) -> Connect:
        return tunnel.read_connect(self.opening.data)

    def sent(self, side: str) -> bytes:
        """All data of one side."""
        return b"".join(f.data for who, f in self.frames if who == side and f.kind == Kind.DATA)

    @property
    def ended(self) -> bool:
        """Whether the edge has ended it; of long pages the recording has the beginning only."""
        return any(who == "edge" and f.kind == Kind.REMOVE for who, f in self.frames)


def connections() -> list[Recorded]:
    found: dict[int, Recorded] = {}
    for line in FILE.read_text().splitlines():
        recorded = json.loads(line)
        frame = tunnel.decode(bytes.fromhex(recorded["hex"]))
        if frame.kind in tunnel.CONNECTS:
            found[frame.connection] = Recorded(frame.kind, frame)
        elif frame.connection in found:
            found[frame.connection].frames.append((recorded["from"], frame))
    return list(found.values())
