"""Tokens of service accounts: JWTs (RFC 7519) signed with ES256, as TokenRequest gives them out."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import uuid
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
MIN_SECONDS, DEFAULT_SECONDS, MAX_SECONDS = 600, 3600, 1 << 32
HALF = 32


class InvalidToken(Exception):
    """A token that is not ours, not well formed, or expired."""


class Tokens:
    """Signs and reads tokens with one key."""

    def __init__(self, key_pem: bytes, clock: Clock) -> None:
        key = serialization.load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key for service account tokens is no elliptic-curve key")
        self._key = key
        self._clock = clock
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key_id = _encode(hashlib.sha256(public).digest())

    def request(self, account: Obj, body: Obj, bound: Obj) -> Obj:
        """Answer a TokenRequest for a ServiceAccount; `bound` is the claim of the object that the token
        is bound to, by its name. Raises ApiError 422.
        """
        spec = body.get("spec") or {}
        seconds = int(spec.get("expirationSeconds") or DEFAULT_SECONDS)
        if not MIN_SECONDS <= seconds <= MAX_SECONDS:
            raise ApiError(
                422, "spec.expirationSeconds: Invalid value: may not specify a duration less than 10 minutes"
            )
        audiences = spec.get("audiences") or [ISSUER]
        now = self._clock.now()
        expires = now + dt.timedelta(seconds=seconds)
        token = self.sign(self._claims(account, audiences, bound, now, expires))
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": account["metadata"]["name"],
                "namespace": account["metadata"]["namespace"],
                "creationTimestamp": rfc3339(now),
            },
            "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": rfc3339(expires)},
        }

    def _claims(
        self, account: Obj, audiences: list[str], bound: Obj, now: dt.datetime, expires: dt.datetime
    ) -> Obj:
        metadata = account["metadata"]
        ours: Obj = {
            **bound,
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        return {
            "aud": audiences,
            "exp": int(expires.timestamp()),
            "iat": int(now.timestamp()),
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": ours,
            "nbf": int(now.timestamp()),
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }

    def sign(self, claims: Obj) -> str:
        """A token with these claims."""
        head = _encode(msgspec.json.encode({"alg": "ES256", "kid": self.key_id, "typ": "JWT"}))
        text = f"{head}.{_encode(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_encode(r.to_bytes(HALF, 'big') + s.to_bytes(HALF, 'big'))}"

    def claims(self, token: str) -> Obj:
        """The claims of one of our tokens that is valid now. Raises InvalidToken."""
        try:
            text, _, signature = token.rpartition(".")
            head, _, body = text.partition(".")
            header, claims = msgspec.json.decode(_decode(head)), msgspec.json.decode(_decode(body))
            raw = _decode(signature)
            if header.get("alg") != "ES256" or len(raw) != 2 * HALF:
                raise InvalidToken("not signed by this server")
            der = encode_dss_signature(int.from_bytes(raw[:HALF], "big"), int.from_bytes(raw[HALF:], "big"))
            self._key.public_key().verify(der, text.encode(), ec.ECDSA(hashes.SHA256()))
        except (ValueError, AttributeError, msgspec.MsgspecError, InvalidSignature) as error:
            raise InvalidToken("not signed by this server") from error
        now = self._clock.now().timestamp()
        if not isinstance(claims, dict) or not claims.get("nbf", 0) - 60 <= now < claims.get("exp", 0):
            raise InvalidToken("expired")
        return claims

    def key_set(self) -> Obj:
        """The public key as a JWK set (RFC 7517)."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "use": "sig",
            "kty": "EC",
            "kid": self.key_id,
            "crv": "P-256",
            "alg": "ES256",
            "x": _encode(numbers.x.to_bytes(HALF, "big")),
            "y": _encode(numbers.y.to_bytes(HALF, "big")),
        }
        return {"keys": [key]}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
