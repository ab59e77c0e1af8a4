from __future__ import annotations

import datetime as dt
import ssl

import pytest

from edgelab.cloudcore.cloudhub.peer import peer_of


def certificate(
    start: str = "Nov 28 01:36:01 2026 GMT", end: str = "Jan  3 23:59:59 2127 GMT"
) -> dict[str, object]:
    subject = ((("organizationName", "system:nodes"),), (("commonName", "system:node:edge1"),))
    return {"subject": subject, "serialNumber": "0A1B", "notBefore": start, "notAfter": end}


@pytest.mark.parametrize(
    "month", ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
)
def test_times_are_read_as_ssl_reads_them(month: str) -> None:
    texts = f"{month}  8 01:36:01 2026 GMT", f"{month} 28 23:59:59 2049 GMT"
    peer = peer_of(certificate(*texts))
    read = (peer.start, peer.end)
    assert read == tuple(dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(text), dt.UTC) for text in texts)
    assert peer.start.tzinfo is dt.UTC


def test_name_and_serial_number() -> None:
    peer = peer_of(certificate())
    assert (peer.name, peer.node, peer.serial) == ("system:node:edge1", "edge1", 0x0A1B)


@pytest.mark.parametrize(
    "text", ["Foo 28 01:36:01 2026 GMT", "Nov 28 01:36:01 2026 CET", "Nov 28 2026 GMT", ""]
)
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not in (tuple|GMT)|values to unpack"):
        peer_of(certificate(text))
