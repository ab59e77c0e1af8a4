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

Obj = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
MIN_SECONDS, DEFAULT_SECONDS, MAX_SECONDS = 600, 3600, 1 << 32
API_VERSION = "authentication.k8s.io/v1"
LEGACY_ISSUER = "kubernetes/serviceaccount"
ALGORITHM = "ES256"
BAD_SIGNATURE = "square/go-jose: error in cryptographic primitive"
HALF = 32


WARN_SECONDS = 3607
"""Who asks for exactly this long is a kubelet with a pod's volume: it may be a client that never reads its
token again, so its token lasts a year and is only watched after the hour (KEP-1205)."""
EXTENDED_SECONDS = 365 * 86400
LEEWAY = 60
REMEMBERED = 256


class InvalidToken(Exception):
    """A token that is not ours, not well formed or expired; the text says why, empty for not ours."""


class Tokens:
    """Signs and reads tokens with one key."""

    def __init__(self, key_pem: bytes, clock: Clock) -> None:
        key = serialization.load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key for service account tokens is no elliptic-curve key")
        self._key = key
        self._clock = clock
        self._known: dict[bytes, Obj] = {}
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key_id = _encode(hashlib.sha256(public).digest())

    def request(self, account: Obj, body: Obj, bound: Obj) -> Obj:
        """Answer a checked TokenRequest for a ServiceAccount; `bound` is the claim of the object that the
        token is bound to, by its name.
        """
        metadata, spec = account["metadata"], body["spec"]
        now = self._clock.now()
        expires = now + dt.timedelta(seconds=spec["expirationSeconds"])
        token = self.sign(self._claims(account, spec, bound, now))
        return {
            "kind": "TokenRequest",
            "apiVersion": API_VERSION,
            "metadata": {
                **(body.get("metadata") or {}),
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "creationTimestamp": rfc3339(now),
            },
            "spec": spec,
            "status": {"token": token, "expirationTimestamp": rfc3339(expires)},
        }

    def _claims(self, account: Obj, spec: Obj, bound: Obj, now: dt.datetime) -> Obj:
        metadata, seconds = account["metadata"], int(spec["expirationSeconds"])
        ours: Obj = {
            **bound,
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        start = int(now.timestamp())
        if "pod" in bound and seconds == WARN_SECONDS and set(spec["audiences"]) <= {ISSUER}:
            ours["warnafter"] = start + seconds
            seconds = EXTENDED_SECONDS
        return {
            "aud": spec["audiences"],
            "exp": start + seconds,
            "iat": start,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": ours,
            "nbf": start,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }

    def legacy(self, account: Obj, secret: Obj) -> str:
        """The token of a Secret of type `kubernetes.io/service-account-token`: it ends with the Secret."""
        namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
        flat = "kubernetes.io/serviceaccount"
        return self.sign(
            {
                "iss": LEGACY_ISSUER,
                f"{flat}/namespace": namespace,
                f"{flat}/secret.name": secret["metadata"]["name"],
                f"{flat}/service-account.name": name,
                f"{flat}/service-account.uid": account["metadata"]["uid"],
                "sub": f"system:serviceaccount:{namespace}:{name}",
            }
        )

    def sign(self, claims: Obj) -> str:
        """A token with these claims."""
        head = _encode(msgspec.json.encode({"alg": ALGORITHM, "kid": self.key_id, "typ": "JWT"}))
        text = f"{head}.{_encode(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_encode(r.to_bytes(HALF, 'big') + s.to_bytes(HALF, 'big'))}"

    def claims(self, token: str) -> Obj:
        """The claims of one of our tokens that is valid now. Raises InvalidToken."""
        claims = self._verified(token)
        if claims["iss"] == LEGACY_ISSUER:
            return claims
        now = self._clock.now().timestamp()
        if now > claims.get("exp", 0) + LEEWAY:
            raise InvalidToken("service account token has expired")
        if now < claims.get("nbf", 0) - LEEWAY:
            raise InvalidToken("service account token is not valid yet")
        return claims

    def _verified(self, token: str) -> Obj:
        """The claims of a token that we have signed, kept for the next request with the same one."""
        key = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        found = self._known.get(key)
        if found is None:
            found = self._verify(token)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = found
        return found

    def _verify(self, token: str) -> Obj:
        try:
            text, _, signature = token.rpartition(".")
            head, _, body = text.partition(".")
            claims = msgspec.json.decode(_decode(body))
            if not isinstance(claims, dict) or claims.get("iss") not in (ISSUER, LEGACY_ISSUER):
                raise InvalidToken("")
            header, raw = msgspec.json.decode(_decode(head)), _decode(signature)
        except (ValueError, AttributeError, msgspec.MsgspecError) as error:
            raise InvalidToken("") from error
        if not isinstance(header, dict) or header.get("alg") != ALGORITHM or len(raw) != 2 * HALF:
            raise InvalidToken(BAD_SIGNATURE)
        der = encode_dss_signature(int.from_bytes(raw[:HALF], "big"), int.from_bytes(raw[HALF:], "big"))
        try:
            self._key.public_key().verify(der, text.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise InvalidToken(BAD_SIGNATURE) from error
        return claims

    def key_set(self) -> Obj:
        """The public key as a JWK set (RFC 7517)."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "use": "sig",
            "kty": "EC",
            "kid": self.key_id,
            "crv": "P-256",
            "alg": ALGORITHM,
            "x": _encode(numbers.x.to_bytes(HALF, "big")),
            "y": _encode(numbers.y.to_bytes(HALF, "big")),
        }
        return {"keys": [key]}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
