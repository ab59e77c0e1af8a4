"""What others need to verify service accounts' tokens: OpenID Connect discovery (`pkg/serviceaccount`)."""

from __future__ import annotations

from aiohttp import web

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.tokens import ALGORITHM, ISSUER, Tokens

CONFIGURATION, KEY_SET = "/.well-known/openid-configuration", "/openid/v1/jwks"
PATHS = (CONFIGURATION, KEY_SET)
CACHED = {"Cache-Control": "public, max-age=3600"}


def answer(path: str, tokens: Tokens, address: str) -> web.Response:
    """The document at one of PATHS; `address` is where this server is reached."""
    if path == KEY_SET:
        body = codec.encode(tokens.key_set())
        return web.Response(body=body, content_type="application/jwk-set+json", headers=CACHED)
    document = {
        "issuer": ISSUER,
        "jwks_uri": f"https://{address}{KEY_SET}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }
    return web.Response(body=codec.encode(document), content_type="application/json", headers=CACHED)
