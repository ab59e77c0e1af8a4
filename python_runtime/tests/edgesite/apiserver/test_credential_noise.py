"""Credentials and requests for certificates that are noise: refused, never a defect of the server."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import random

import pytest
from cryptography import x509
from tests.edgesite.apiserver.running import Client
from tests.identity.test_signing import request

from edgelab.daemon.clock import SYSTEM
from edgelab.edgesite import keys
from edgelab.edgesite.apiserver.tokens import InvalidToken, Tokens
from edgelab.identity.requests import RequestError, checked

HEADERS = ("Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-A%zz", "User-Agent")


async def test_headers_of_any_bytes_are_answered(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    noise = random.Random(1)
    for _ in range(60):
        value = bytes(noise.choice(range(32, 256)) for _ in range(noise.randint(0, 40))).decode("latin-1")
        name = noise.choice(HEADERS)
        headers = {name: value} if name == "Impersonate-User" else {"Impersonate-User": "a", name: value}
        for token in (None, value.strip() or "x"):
            with contextlib.suppress(ValueError):
                status, _ = await client.call("GET", "/api/v1/pods", headers=headers, token=token)
                assert status in (200, 400, 401, 403), (name, value, token)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(
        keys.load_or_create(tmp_path_factory.mktemp("tls"), ["127.0.0.1"], SYSTEM).token_key, SYSTEM
    )


def test_no_text_is_a_token(tokens: Tokens) -> None:
    noise = random.Random(2)
    alphabet = "abcdefXYZ012_-=.. \u00e9\u20ac\ud800"
    for _ in range(500):
        text = "".join(noise.choice(alphabet) for _ in range(noise.randint(0, 60)))
        with pytest.raises(InvalidToken):
            tokens.claims(text)


def test_claims_of_others_are_no_token(tokens: Tokens) -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    issuer = "https://kubernetes.default.svc.cluster.local"
    heads: tuple[object, ...] = ({"alg": "none"}, {"alg": "ES256"}, {"alg": ["ES256"]}, [], "x", None)
    bodies: tuple[object, ...] = ({}, [], None, {"iss": []}, {"iss": issuer}, {"iss": issuer, "exp": "x"})
    for head in heads:
        for body in bodies:
            for signature in ("", "A" * 86, "A" * 85, "!"):
                with pytest.raises(InvalidToken):
                    tokens.claims(f"{part(head)}.{part(body)}.{signature}")


def test_no_bytes_are_a_request() -> None:
    noise = random.Random(3)
    for _ in range(300):
        data = noise.randbytes(noise.randint(0, 300))
        encoded = base64.b64encode(data).decode()
        wrapped = f"-----BEGIN CERTIFICATE REQUEST-----\n{encoded}\n-----END CERTIFICATE REQUEST-----\n"
        for text in (encoded, base64.b64encode(wrapped.encode()).decode(), data.decode("latin-1")):
            with pytest.raises(RequestError):
                checked(text)


def test_a_request_with_any_bit_turned_is_read_or_refused() -> None:
    pem = base64.b64decode(request(x509.DNSName("n"))).decode().splitlines()
    der = base64.b64decode("".join(pem[1:-1]))
    for position in range(len(der) * 8):
        turned = bytearray(der)
        turned[position // 8] ^= 1 << (position % 8)
        body = base64.encodebytes(bytes(turned)).decode().strip()
        with contextlib.suppress(RequestError):
            checked(base64.b64encode(f"{pem[0]}\n{body}\n{pem[-1]}\n".encode()).decode())
