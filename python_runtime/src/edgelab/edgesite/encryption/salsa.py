"""NaCl's secretbox (XSalsa20 and Poly1305), which `cryptography` does not have.

All blocks of a message are computed side by side: each of Salsa20's sixteen words is one number whose
64-bit lanes hold that word of every block.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 24, 16
BLOCK = 64
SIGMA = tuple(int.from_bytes(b"expand 32-byte k"[i : i + 4], "little") for i in (0, 4, 8, 12))
ROUNDS = (
    ((4, 0, 12, 7), (8, 4, 0, 9), (12, 8, 4, 13), (0, 12, 8, 18)),
    ((9, 5, 1, 7), (13, 9, 5, 9), (1, 13, 9, 13), (5, 1, 13, 18)),
    ((14, 10, 6, 7), (2, 14, 10, 9), (6, 2, 14, 13), (10, 6, 2, 18)),
    ((3, 15, 11, 7), (7, 3, 15, 9), (11, 7, 3, 13), (15, 11, 7, 18)),
    ((1, 0, 3, 7), (2, 1, 0, 9), (3, 2, 1, 13), (0, 3, 2, 18)),
    ((6, 5, 4, 7), (7, 6, 5, 9), (4, 7, 6, 13), (5, 4, 7, 18)),
    ((11, 10, 9, 7), (8, 11, 10, 9), (9, 8, 11, 13), (10, 9, 8, 18)),
    ((12, 15, 14, 7), (13, 12, 15, 9), (14, 13, 12, 13), (15, 14, 13, 18)),
)
STEPS = tuple(step for part in ROUNDS for step in part)


class Forged(ValueError):
    """The box was not made with this key, or was changed since."""


def seal(key: bytes, nonce: bytes, message: bytes) -> bytes:
    """Tag and encrypted message."""
    stream = _stream(key, nonce, 32 + len(message))
    box = _xor(message, stream[32:])
    return Poly1305.generate_tag(stream[:32], box) + box


def unseal(key: bytes, nonce: bytes, sealed: bytes) -> bytes:
    """The message of `seal`. Raises Forged."""
    tag, box = sealed[:TAG_BYTES], sealed[TAG_BYTES:]
    stream = _stream(key, nonce, 32 + len(box))
    try:
        Poly1305.verify_tag(stream[:32], box, tag)
    except InvalidSignature as error:
        raise Forged from error
    return _xor(box, stream[32:])


def _xor(data: bytes, stream: bytes) -> bytes:
    size = len(data)
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(stream[:size], "little")
    return mixed.to_bytes(size, "little")


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]


def _stream(key: bytes, nonce: bytes, size: int) -> bytes:
    """The key stream of XSalsa20: Salsa20 under a key that HSalsa20 derives from the long nonce."""
    derived = _derive(key, nonce[:16])
    return _salsa20(derived, nonce[16:], -(-size // BLOCK))[:size]


def _derive(key: bytes, nonce: bytes) -> bytes:
    k, n = _words(key), _words(nonce)
    x = _mixed([SIGMA[0], *k[:4], SIGMA[1], *n, SIGMA[2], *k[4:], SIGMA[3]], 1)
    return b"".join(x[i].to_bytes(4, "little") for i in (0, 5, 10, 15, 6, 7, 8, 9))


def _salsa20(key: bytes, nonce: bytes, blocks: int) -> bytes:
    ones = sum(1 << (64 * lane) for lane in range(blocks))
    counters = sum(lane << (64 * lane) for lane in range(blocks))  # fewer than 2**32 blocks of 64 bytes
    k, n = _words(key), _words(nonce)
    start = [SIGMA[0], *k[:4], SIGMA[1], *n, 0, 0, SIGMA[2], *k[4:], SIGMA[3]]
    state = [word * ones for word in start]
    state[8] = counters
    mask = 0xFFFFFFFF * ones
    final = [(a + b) & mask for a, b in zip(_mixed(list(state), blocks), state, strict=True)]
    lanes = [word.to_bytes(8 * blocks, "little") for word in final]
    return b"".join(lane[8 * i : 8 * i + 4] for i in range(blocks) for lane in lanes)


def _mixed(x: list[int], blocks: int) -> list[int]:
    """Twenty rounds, without the addition of the start."""
    mask = 0xFFFFFFFF * sum(1 << (64 * lane) for lane in range(blocks))
    for _ in range(10):
        for target, a, b, turn in STEPS:
            total = (x[a] + x[b]) & mask
            x[target] ^= ((total << turn) | (total >> (32 - turn))) & mask
    return x
