"""How an edge node gets its certificate, and a new one before the old one ends.

Facts: KubeEdge `edge/pkg/edgehub/certificate` and CloudHub's HTTPS API (our docs/reference/protocol.md):
`GET /ca.crt` (DER), `GET /edge.crt` with the signing request (DER) as the *body of the GET*.
Runs in a short-lived process of its own, because `cryptography` costs 10 MB of memory.
"""

from __future__ import annotations

import datetime as dt
import http.client
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import IntEnum
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgelab.daemon.errors import Fatal
from edgelab.identity import files, token
from edgelab.identity.ca import encode_key, load_certificate, load_key, subject_of, utc_now

TIMEOUT_SECONDS = 15.0
NODES_GROUP = "system:nodes"
USER_PREFIX = "system:node:"
NOTABLE_SKEW = dt.timedelta(minutes=5)
BODY_LIMIT = 1 << 20


class Code(IntEnum):
    """Exit statuses of `python -m edgelab.identity`, one for each cause a caller may treat on its own."""

    FAILED = 1
    TOKEN = 3
    CA_MISMATCH = 4
    CLOCK = 5
    UNREACHABLE = 6
    NAME = 7


@dataclass(frozen=True, slots=True)
class Request:
    """Where to enrol, as whom, and where the files go. `server` is https://HOST:PORT."""

    server: str
    node: str
    ca_file: Path
    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, the server's own clock and certificate."""

    status: int
    body: bytes
    date: dt.datetime | None
    server_cert: bytes | None


def enrol(request: Request, join_token: str, now: Callable[[], dt.datetime] = utc_now) -> None:
    """Fetch the CA, check it against the token, get a certificate, write all three files. Raises Fatal."""
    try:
        expected, jwt = token.split(join_token)
    except token.TokenError as error:
        raise Fatal(f"wrong token: {error}", code=Code.TOKEN) from None
    answer = _get(request.server, "/ca.crt", _unverified())
    ca = _read_ca(request.server, answer)
    if token.ca_hash(answer.body) != expected:
        raise Fatal(
            f"CA hash mismatch: {request.server} has another certificate authority than the one this token"
            " was made for; check the address, or take a new token with `keadm gettoken`",
            code=Code.CA_MISMATCH,
        )
    _check_validity("certificate authority", ca, now(), answer.date)
    if answer.server_cert is not None:
        _check_validity("server's certificate", load_certificate(answer.server_cert), now(), answer.date)
    context = _verified(ca)
    files.write(request.ca_file, ca.public_bytes(serialization.Encoding.PEM), 0o644)
    _certify(request, context, {"Authorization": f"Bearer {jwt}"}, now)


def renew(request: Request, now: Callable[[], dt.datetime] = utc_now) -> None:
    """Get a new certificate for a new key, proving identity with the present one. Raises Fatal."""
    files.finish_interrupted(request.cert_file, request.key_file)
    try:
        ca = load_certificate(request.ca_file.read_bytes())
        present = load_certificate(request.cert_file.read_bytes())
        load_key(request.key_file.read_bytes())
    except OSError as error:
        raise Fatal(f"cannot renew without {error.filename}: {error.strerror}") from None
    except ValueError:
        raise Fatal(f"cannot renew: {request.cert_file} or its key or CA cannot be read") from None
    _check_validity("node's own certificate", present, now(), None)
    context = _verified(ca)
    context.load_cert_chain(request.cert_file, request.key_file)
    _certify(request, context, {}, now)


def has_identity(request: Request) -> bool:
    """Whether a certificate for this node with its key is there (an interrupted write is finished first)."""
    files.finish_interrupted(request.cert_file, request.key_file)
    if not files.matches(request.cert_file, request.key_file):
        return False
    certificate = load_certificate(request.cert_file.read_bytes())
    return subject_of(certificate)[0] == USER_PREFIX + request.node


def _certify(
    request: Request,
    context: ssl.SSLContext,
    headers: dict[str, str],
    now: Callable[[], dt.datetime],
) -> None:
    by_token = "Authorization" in headers
    key = _pending_key(request) if by_token else ec.generate_private_key(ec.SECP256R1())
    headers = {**headers, "NodeName": request.node, "ExtKeyUsages": "[2]"}
    answer = _get(request.server, "/edge.crt", context, _signing_request(key, request.node), headers)
    _check_status(request, answer, by_token=by_token)
    try:
        certificate = x509.load_der_x509_certificate(answer.body)
    except ValueError:
        raise Fatal(f"{request.server} answered with something that is no certificate") from None
    if certificate.public_key() != key.public_key():
        raise Fatal(f"{request.server} answered with a certificate for another key")
    if subject_of(certificate)[0] != USER_PREFIX + request.node:
        raise Fatal(f"{request.server} certified another name than {request.node}", code=Code.NAME)
    _check_validity("new certificate", certificate, now(), answer.date)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    try:
        files.write_pair(request.cert_file, pem, request.key_file, encode_key(key))
        files.pending_key(request.key_file).unlink(missing_ok=True)
    except OSError as error:
        raise Fatal(f"cannot write {error.filename}: {error.strerror}") from None


def _pending_key(request: Request) -> ec.EllipticCurvePrivateKey:
    """The key of an earlier attempt whose answer got lost, or a new one, kept for the next attempt."""
    path = files.pending_key(request.key_file)
    try:
        return load_key(path.read_bytes())
    except (FileNotFoundError, ValueError):
        key = ec.generate_private_key(ec.SECP256R1())
    except OSError as error:
        raise Fatal(f"cannot read {error.filename}: {error.strerror}") from None
    try:
        files.write(path, encode_key(key))
    except OSError as error:
        raise Fatal(f"cannot write {error.filename}: {error.strerror}") from None
    return key


def _check_status(request: Request, answer: Answer, *, by_token: bool) -> None:
    if answer.status == 200:
        return
    text = " ".join(answer.body[:300].decode("utf-8", "replace").split())
    if answer.status == 401 and by_token:
        raise Fatal(
            f"wrong token: {request.server} refused it ({text}); take a new one with `keadm gettoken`",
            code=Code.TOKEN,
        )
    if answer.status in (401, 403):
        raise Fatal(f"{request.server} refused node name {request.node!r}: {text}", code=Code.NAME)
    code = Code.UNREACHABLE if answer.status == 503 else Code.FAILED
    raise Fatal(f"{request.server} could not sign the certificate: {answer.status} {text}", code=code)


def _signing_request(key: ec.EllipticCurvePrivateKey, node: str) -> bytes:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, NODES_GROUP),
            x509.NameAttribute(NameOID.COMMON_NAME, USER_PREFIX + node),
        ]
    )
    built = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.DER)


def _read_ca(server: str, answer: Answer) -> x509.Certificate:
    try:
        if answer.status != 200:
            raise ValueError
        return x509.load_der_x509_certificate(answer.body)
    except ValueError:
        raise Fatal(
            f"{server}/ca.crt gave no certificate (status {answer.status}); is CloudCore's https port there?"
        ) from None


def _check_validity(
    what: str, certificate: x509.Certificate, now: dt.datetime, server_date: dt.datetime | None
) -> None:
    """Refuse a certificate that is not valid now, naming both times and, when known, the cloud's clock."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if start <= now <= end:
        return
    bound = (
        f"not yet valid: it starts at {_text(start)}" if now < start else f"expired: it ended {_text(end)}"
    )
    hint = ""
    if server_date is not None and abs(server_date - now) > NOTABLE_SKEW:
        hint = f" (the cloud's clock says {_text(server_date)})"
    raise Fatal(
        f"clock or certificate wrong: the {what} is {bound}, and this machine's clock says"
        f" {_text(now)}{hint}; set the clock of the machine that is wrong",
        code=Code.CLOCK,
    )


def _text(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _unverified() -> ssl.SSLContext:
    """TLS for the one request whose answer is checked against the token's hash instead."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _verified(ca: x509.Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ca.public_bytes(serialization.Encoding.DER))
    return context


def _get(
    server: str,
    path: str,
    context: ssl.SSLContext,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    host, port = _address(server)
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
    try:
        connection.connect()
        peer = connection.sock.getpeercert(binary_form=True)
        connection.request("GET", path, body=body, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.read(BODY_LIMIT), _date(response.headers["Date"]), peer)
    except ssl.SSLCertVerificationError as error:
        raise Fatal(f"{server}: certificate refused: {error.verify_message}", code=_tls_code(error)) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Fatal(f"cannot reach {server}: {reason}", code=Code.UNREACHABLE) from None
    finally:
        connection.close()


def _tls_code(error: ssl.SSLCertVerificationError) -> Code:
    """X509_V_ERR_CERT_NOT_YET_VALID is 9, X509_V_ERR_CERT_HAS_EXPIRED is 10 (openssl/x509_vfy.h)."""
    return Code.CLOCK if error.verify_code in (9, 10) else Code.CA_MISMATCH


def _address(server: str) -> tuple[str, int]:
    try:
        parts = urlsplit(server if "://" in server else f"https://{server}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise Fatal(f"{server!r} is no server address; write it like https://10.0.0.1:10002", code=2)
    return host, port or 10002


def _date(text: str | None) -> dt.datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(dt.UTC) if text else None
    except ValueError:
        return None
