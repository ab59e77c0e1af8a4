"""Sessions of the router's HTTP clients: what goes out is what was given, and what comes in as it came."""

from __future__ import annotations

import aiohttp


def session(connections: int, of_one_host: int = 0) -> aiohttp.ClientSession:
    """So many connections at a time, and to one host (0: all of them); no cookies, proxies or compression."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, limit_per_host=of_one_host),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "cloudcore", "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    )
