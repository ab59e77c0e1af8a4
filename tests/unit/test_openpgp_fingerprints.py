"""The filter openpgp_fingerprints gives what GnuPG shows."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.edgelab.kubeedge.plugins.filter.openpgp_fingerprints import openpgp_fingerprints

KEY = (Path(__file__).parent / "kubeadm_data" / "test-key.asc").read_text(encoding="utf-8")
"""Made for this test; its secret half was thrown away."""
SHOWN_BY_GNUPG = "5306DE0A8FB38A7E384F6D171638756D38C437A8"


def test_the_fingerprint_is_the_one_that_gnupg_shows() -> None:
    assert openpgp_fingerprints(KEY) == [SHOWN_BY_GNUPG]


def test_a_comment_line_and_other_line_ends_do_not_matter() -> None:
    head, rest = KEY.split("\n", 1)
    text = f"{head}\nVersion: GnuPG v2.0.15 (GNU/Linux)\n{rest}".replace("\n", "\r\n")
    assert openpgp_fingerprints(text) == [SHOWN_BY_GNUPG]


def test_two_keys_give_two_fingerprints() -> None:
    assert openpgp_fingerprints(KEY + "\n" + KEY) == [SHOWN_BY_GNUPG] * 2


def test_a_changed_key_has_another_fingerprint_or_none() -> None:
    at = KEY.index("\n\n") + 30
    changed = KEY[:at] + ("A" if KEY[at] != "A" else "B") + KEY[at + 1 :]
    assert openpgp_fingerprints(changed) != [SHOWN_BY_GNUPG]


def test_what_holds_no_key_gives_nothing() -> None:
    assert openpgp_fingerprints("<html>404</html>") == []
    assert openpgp_fingerprints("") == []
    assert openpgp_fingerprints(KEY[: len(KEY) // 2]) == []
