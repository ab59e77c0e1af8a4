"""The ciphers: each encrypts with its first key and decrypts with all of them."""

from __future__ import annotations

import os
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7

from edgelab.edgesite.encryption import salsa
from edgelab.edgesite.encryption.guard import MARK

AES_SIZES, SECRETBOX_SIZES = (16, 24, 32), (salsa.KEY_BYTES,)
IV_BYTES, GCM_NONCE_BYTES = 16, 12


class Undecipherable(Exception):
    """Bytes that are not from this key, or were changed."""


class Key(NamedTuple):
    """A key by its name in the configuration."""

    name: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.name})"


class Provider(Protocol):
    """One entry of `providers`."""

    name: str
    keys: tuple[Key, ...]

    def encrypt(self, key: Key, data: bytes, context: bytes) -> bytes:
        """Encrypt for a place in the store."""
        ...

    def decrypt(self, key: Key, data: bytes, context: bytes) -> bytes:
        """The reverse. Raises Undecipherable."""
        ...


class AesCbc:
    """AES in CBC mode with PKCS#7 padding. Not authenticated."""

    name = "aescbc"

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self.keys = keys

    def encrypt(self, key: Key, data: bytes, context: bytes) -> bytes:
        """A fresh initialisation vector, and what was encrypted."""
        vector, padder = os.urandom(IV_BYTES), PKCS7(128).padder()
        encryptor = Cipher(algorithms.AES(key.secret), modes.CBC(vector)).encryptor()
        padded = padder.update(data) + padder.finalize()
        return vector + encryptor.update(padded) + encryptor.finalize()

    def decrypt(self, key: Key, data: bytes, context: bytes) -> bytes:
        """Decrypt. Raises Undecipherable."""
        unpadder = PKCS7(128).unpadder()
        try:
            decryptor = Cipher(algorithms.AES(key.secret), modes.CBC(data[:IV_BYTES])).decryptor()
            padded = decryptor.update(data[IV_BYTES:]) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError as error:
            raise Undecipherable from error


class AesGcm:
    """AES in GCM mode: bound to its place in the store, so that values cannot be exchanged."""

    name = "aesgcm"

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self.keys = keys

    def encrypt(self, key: Key, data: bytes, context: bytes) -> bytes:
        """A random nonce, and what was encrypted."""
        nonce = os.urandom(GCM_NONCE_BYTES)
        return nonce + AESGCM(key.secret).encrypt(nonce, data, context)

    def decrypt(self, key: Key, data: bytes, context: bytes) -> bytes:
        """Decrypt. Raises Undecipherable."""
        try:
            return AESGCM(key.secret).decrypt(data[:GCM_NONCE_BYTES], data[GCM_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise Undecipherable from error


class Secretbox:
    """XSalsa20 and Poly1305."""

    name = "secretbox"

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self.keys = keys

    def encrypt(self, key: Key, data: bytes, context: bytes) -> bytes:
        """A random nonce, and the box."""
        nonce = os.urandom(salsa.NONCE_BYTES)
        return nonce + salsa.seal(key.secret, nonce, data)

    def decrypt(self, key: Key, data: bytes, context: bytes) -> bytes:
        """Decrypt. Raises Undecipherable."""
        try:
            return salsa.unseal(key.secret, data[: salsa.NONCE_BYTES], data[salsa.NONCE_BYTES :])
        except salsa.Forged as error:
            raise Undecipherable from error


class Identity:
    """No encryption."""

    name = "identity"
    keys: tuple[Key, ...] = ()

    def encrypt(self, key: Key, data: bytes, context: bytes) -> bytes:
        """The same."""
        return data

    def decrypt(self, key: Key, data: bytes, context: bytes) -> bytes:
        """The same."""
        return data


def prefix(provider: str, key: str) -> bytes:
    """What stands before everything that a key has encrypted."""
    return MARK + f"{provider}:v1:{key}:".encode()
