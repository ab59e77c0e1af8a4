"""TLS with client certificates as kube-apiserver has it: asked for, but judged with the request.

Python's `ssl` ends the handshake when it cannot verify a client's certificate; kube-apiserver completes
it and answers 401, or lets the client in by a token. OpenSSL can do that, `ssl` has no name for it. Where
OpenSSL cannot be reached, such a client meets the end of the handshake instead: nobody gets in by this.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
import sys

VERIFY_PEER = 1
Verify = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


def _accept(verified: int, store: int | None) -> int:
    return 1


ACCEPT = Verify(_accept)
"""OpenSSL keeps a pointer to it for as long as the process lives."""


def ask(context: ssl.SSLContext) -> bool:
    """Complete handshakes whatever certificate the client has. The caller must then verify certificates
    itself. Gives False when that cannot be had, and changes nothing.
    """
    pointer = _openssl(context)
    if pointer is None:
        return False
    library, handle = pointer
    library.SSL_CTX_set_verify.argtypes = (ctypes.c_void_p, ctypes.c_int, Verify)
    library.SSL_CTX_set_verify.restype = None
    library.SSL_CTX_set_verify(handle, VERIFY_PEER, ACCEPT)
    return True


def _openssl(context: ssl.SSLContext) -> tuple[ctypes.CDLL, int] | None:
    """The library, and its context behind Python's: the first field after the object's head."""
    if sys.implementation.name != "cpython":
        return None
    try:
        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        get_options = library.SSL_CTX_get_options
        _ = library.SSL_CTX_set_verify
    except (OSError, AttributeError):
        return None
    handle = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if not handle or handle % ctypes.sizeof(ctypes.c_void_p):
        return None
    get_options.argtypes = (ctypes.c_void_p,)
    get_options.restype = ctypes.c_uint64
    return (library, handle) if get_options(handle) == int(context.options) else None
