"""Seals: by this cluster's authority, for one purpose."""

from __future__ import annotations

import pytest

from edgelab.identity.ca import CertificateAuthority
from edgelab.identity.seals import Seal, SealError

KEY = CertificateAuthority.create("KubeEdge").key_der


@pytest.mark.parametrize("statement", [b"", b"a", bytes(range(256))])
def test_a_statement_comes_back_as_it_was(statement: bytes) -> None:
    assert Seal(KEY, "test").take(Seal(KEY, "test").put(statement)) == statement


def test_another_authority_another_purpose_and_another_statement_are_refused() -> None:
    text = Seal(KEY, "test").put(b"statement")
    other = Seal(KEY, "test").put(b"another")
    mixed = f"{other.partition('.')[0]}.{text.partition('.')[2]}"
    wrong = [
        Seal(KEY, "other").put(b"statement"),
        Seal(CertificateAuthority.create("KubeEdge").key_der, "test").put(b"statement"),
        mixed,
        text[:-2],
        text + "A",
        "",
        ".",
        "é.é",
        "a.b.c",
    ]
    for found in wrong:
        with pytest.raises(SealError):
            Seal(KEY, "test").take(found)
