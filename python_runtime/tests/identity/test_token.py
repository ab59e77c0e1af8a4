"""Join tokens: made, taken apart, checked."""

from __future__ import annotations

import base64
import datetime as dt
import json

import pytest

from edgelab.identity import token
from edgelab.identity.ca import CertificateAuthority

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
CA = CertificateAuthority.create("KubeEdge")


def made(hours: float = 24) -> str:
    return token.make(CA.cert_der, CA.key_der, NOW + dt.timedelta(hours=hours))


def test_a_token_names_its_authority_and_is_good_until_its_expiry() -> None:
    parts = token.split(made() + "\n")
    assert parts.ca_hash == token.ca_hash(CA.cert_der)
    assert token.verify(parts.jwt, CA.key_der, NOW) == token.Claims(NOW + dt.timedelta(hours=24))
    assert token.peek(made()) == token.Claims(NOW + dt.timedelta(hours=24))


def test_the_bearer_part_is_a_jwt_as_keadm_makes_it() -> None:
    header, payload, _ = token.split(made()).jwt.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(base64.urlsafe_b64decode(payload + "==")) == {
        "exp": int((NOW + dt.timedelta(hours=24)).timestamp())
    }


def test_an_expired_token_says_when_it_expired_and_what_time_it_is() -> None:
    with pytest.raises(
        token.TokenError, match=r"expired at 2026-05-01T11:00:00Z, now it is 2026-05-01T12:00:00Z"
    ):
        token.verify(token.split(made(-1)).jwt, CA.key_der, NOW)


def test_a_token_of_another_authority_is_refused() -> None:
    other = CertificateAuthority.create("KubeEdge")
    with pytest.raises(token.TokenError, match="not issued by this"):
        token.verify(token.split(made()).jwt, other.key_der, NOW)


def test_a_longer_life_cannot_be_written_into_a_token() -> None:
    header, _, signature = token.split(made(-1)).jwt.split(".")
    payload = base64.urlsafe_b64encode(b'{"exp":99999999999}').rstrip(b"=").decode()
    with pytest.raises(token.TokenError, match="not issued by this"):
        token.verify(f"{header}.{payload}.{signature}", CA.key_der, NOW)


def test_an_unsigned_token_is_refused() -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    with pytest.raises(token.TokenError, match="malformed"):
        token.verify(f"{header}.{token.split(made()).jwt.split('.')[1]}.", CA.key_der, NOW)


@pytest.mark.parametrize("text", ["", "abc", "a.b.c", "a.b.c.d.e", "...", "a..b.c", "ä.b.c.d"])
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(token.TokenError) as refused:
        token.verify(token.split(text).jwt, CA.key_der, NOW)
    assert not text or text not in str(refused.value)


def test_a_node_token_has_the_same_form_and_says_for_whom_it_is() -> None:
    expires = NOW + dt.timedelta(hours=1)
    text = token.make(CA.cert_der, CA.key_der, expires, token_id="abc", node="edge1")
    assert text.count(".") == 3
    assert token.verify(token.split(text).jwt, CA.key_der, NOW) == token.Claims(expires, "abc", "edge1")
    payload = json.loads(base64.urlsafe_b64decode(text.split(".")[2] + "=="))
    assert payload == {"exp": int(expires.timestamp()), "jti": "abc", "sub": "edge1"}


def test_a_node_token_cannot_be_made_one_for_everybody() -> None:
    expires = NOW + dt.timedelta(hours=1)
    text = token.make(CA.cert_der, CA.key_der, expires, token_id="abc", node="edge1")
    header, _, signature = token.split(text).jwt.split(".")
    bare = token.split(token.make(CA.cert_der, CA.key_der, expires)).jwt.split(".")[1]
    with pytest.raises(token.TokenError, match="not issued by this"):
        token.verify(f"{header}.{bare}.{signature}", CA.key_der, NOW)
