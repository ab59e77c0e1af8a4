"""A site to tell stories to, and what its log says meanwhile."""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.edgesite.apiserver.running import Client, running
from tests.edgesite.fuzzing.checking import Wrong
from tests.edgesite.fuzzing.corpus import Corpus
from tests.edgesite.fuzzing.operations import Resource, resources
from tests.edgesite.fuzzing.stories import NAMESPACE, Teller
from tests.edgesite.fuzzing.wire import Connection


def trusted(client: Client) -> ssl.SSLContext:
    """TLS as the administrator."""
    tls = client.directory / "data/tls"
    context = ssl.create_default_context(cadata=client.site.keys.ca_pem.decode())
    context.load_cert_chain(tls / "admin.crt", tls / "admin.key")
    return context


class Complaints(logging.Handler):
    """Collects what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))

    def check(self) -> None:
        """Raise Wrong when there was any."""
        found, self.found = self.found, []
        if found:
            raise Wrong("logged:\n" + "\n".join(found))


@contextmanager
def complaints() -> Iterator[Complaints]:
    """Listen to all loggers."""
    handler = Complaints()
    logging.getLogger().addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger().removeHandler(handler)


@asynccontextmanager
async def telling(corpus: Corpus) -> AsyncIterator[tuple[Teller, list[Resource]]]:
    """A fresh site, and the resources that it serves."""
    with tempfile.TemporaryDirectory(prefix="edgesite-") as directory:
        async with running(Path(directory)) as client:
            connection = Connection(client.base, trusted(client))
            teller = Teller(connection, corpus)
            body = {"metadata": {"name": NAMESPACE}}
            assert (await client.call("POST", "/api/v1/namespaces", body))[0] == 201
            yield teller, await served(client)
            await connection.close()
            await asyncio.sleep(0)


async def served(client: Client) -> list[Resource]:
    """Every resource of every group."""
    _, index = await client.call("GET", "/openapi/v3")
    found = []
    for name in sorted(index["paths"]):
        if name.count("/") in (1, 2):
            _, document = await client.call("GET", index["paths"][name]["serverRelativeURL"])
            found += list(resources(document))
    return found
