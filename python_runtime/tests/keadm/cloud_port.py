"""CloudCore's HTTPS port as a host that joins sees it, on a real socket."""

from __future__ import annotations

import email.utils
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from edgelab.identity.ca import CertificateAuthority


class CloudPort:
    """`taken` exists as a node; `skew` seconds are between its clock and ours."""

    def __init__(self, ca: CertificateAuthority, directory: Path, addresses: list[str]) -> None:
        self.skew = 0.0
        self.nodes = {"taken"}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                body = ca.cert_der if self.path == "/ca.crt" else b""
                known = self.path == "/ca.crt" or self.path.rpartition("/")[2] in owner.nodes
                self.send_response(200 if known else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return email.utils.formatdate((timestamp or time.time()) + owner.skew, usegmt=True)

            def log_message(self, *_: object) -> None:
                pass

        pair = ca.issue(common_name="cloudcore", ip_addresses=addresses, dns_names=["localhost"], server=True)
        path = directory / "cloudcore.pem"
        path.write_bytes(pair.cert_pem + pair.key_pem)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = int(self.server.server_address[1])


@contextmanager
def serve(ca: CertificateAuthority, directory: Path, addresses: list[str]) -> Iterator[CloudPort]:
    """Serve while the context lasts."""
    cloud = CloudPort(ca, directory, addresses)
    thread = threading.Thread(target=cloud.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield cloud
    cloud.server.shutdown()
    cloud.server.server_close()
    thread.join()
