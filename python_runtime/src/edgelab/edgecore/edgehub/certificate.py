"""What EdgeCore must know of a certificate file, read without a cryptography library.

A resident `cryptography` costs 10 MB; subject and validity are a few steps into the DER
(RFC 5280, 4.1). Whatever signs or generates keys runs in `edgelab.identity`, a child process.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from pathlib import Path
from typing import NamedTuple

_COMMON_NAME = bytes.fromhex("0603550403")  # OBJECT IDENTIFIER 2.5.4.3
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s+(.+?)-----END CERTIFICATE-----", re.DOTALL)


class Certificate(NamedTuple):
    """Common name of the subject and the time in which the certificate is good."""

    common_name: str
    not_before: dt.datetime
    not_after: dt.datetime


class _Element(NamedTuple):
    tag: int
    body: bytes
    whole: bytes


def read(path: Path) -> Certificate | None:
    """The first certificate of a PEM file; None when there is no file or nothing readable in it."""
    try:
        found = _PEM.search(path.read_bytes())
        return parse(base64.b64decode(found[1])) if found else None
    except (OSError, binascii.Error, ValueError, IndexError):
        return None


def parse(der: bytes) -> Certificate:
    """Read an X.509 certificate. Raises ValueError or IndexError for anything else."""
    certificate = _children(_element(der, 0).body)
    fields = _children(certificate[0].body)
    if fields[0].tag == 0xA0:  # [0] version
        fields = fields[1:]
    _serial, _algorithm, _issuer, validity, subject = fields[:5]
    not_before, not_after = (_time(element) for element in _children(validity.body)[:2])
    return Certificate(_common_name(subject.body), not_before, not_after)


def _element(data: bytes, at: int) -> _Element:
    tag, length, start = data[at], data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
    if start + length > len(data):
        raise ValueError("a DER element is longer than its data")
    return _Element(tag, data[start : start + length], data[at : start + length])


def _children(body: bytes) -> list[_Element]:
    found: list[_Element] = []
    at = 0
    while at < len(body):
        element = _element(body, at)
        found.append(element)
        at += len(element.whole)
    return found


def _common_name(subject: bytes) -> str:
    for names in _children(subject):
        for attribute in _children(names.body):
            if attribute.body.startswith(_COMMON_NAME):
                return _children(attribute.body)[1].body.decode()
    return ""


def _time(element: _Element) -> dt.datetime:
    text = element.body.decode("ascii")
    if element.tag == 0x17:  # UTCTime: years 1950 to 2049
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return dt.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.UTC)
