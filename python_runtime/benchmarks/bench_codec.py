"""Reading and writing hub messages: msgspec with raw content against the json module."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.measure import Result, rate

from edgelab.protocol import message

RECORDED = Path(__file__).parents[1] / "tests" / "protocol" / "vectors" / "messages.jsonl"
REPEAT = 50


async def run() -> list[Result]:
    """Messages a second, decoded and encoded again."""
    lines = RECORDED.read_bytes().splitlines()
    count = len(lines) * REPEAT

    def with_json() -> None:
        for _ in range(REPEAT):
            for line in lines:
                json.dumps(json.loads(line)).encode()

    def with_msgspec() -> None:
        for _ in range(REPEAT):
            for line in lines:
                message.encode(message.decode(line))

    return [rate("json module", with_json, count), rate("edgelab.protocol.message", with_msgspec, count)]
