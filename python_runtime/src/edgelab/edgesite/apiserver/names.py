"""Names as apimachinery `pkg/api/validation` and `pkg/util/validation` check them."""

from __future__ import annotations

import re
from collections.abc import Callable

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
Check = Callable[[str], list[str]]


def subdomain(name: str) -> list[str]:
    """What is wrong with a DNS-1123 subdomain."""
    problems = ["must be no more than 253 bytes"] if len(name) > 253 else []
    if not re.fullmatch(SUBDOMAIN, name):
        problems.append(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
            " and must start and end with an alphanumeric character (e.g. 'example.com',"
            f" regex used for validation is '{SUBDOMAIN}')"
        )
    return problems


def label(name: str) -> list[str]:
    """What is wrong with a DNS-1123 label."""
    problems = ["must be no more than 63 bytes"] if len(name) > 63 else []
    if not re.fullmatch(LABEL, name):
        problems.append(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
            " and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc',"
            f" regex used for validation is '{LABEL}')"
        )
    return problems


def service_label(name: str) -> list[str]:
    """What is wrong with a DNS-1035 label."""
    problems = ["must be no more than 63 bytes"] if len(name) > 63 else []
    if not re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name):
        problems.append(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
            " alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123',"
            " regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
        )
    return problems


def path_segment(name: str) -> list[str]:
    """What is wrong with a name that only has to fit into a path."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in name]


def qualified(name: str) -> list[str]:
    """What is wrong with a label key: `[prefix/]name`."""
    prefix, slash, rest = name.rpartition("/")
    problems = []
    if slash:
        problems += [
            f"prefix part {text}" for text in (subdomain(prefix) if prefix else ["must be non-empty"])
        ]
    if not rest:
        problems.append("name part must be non-empty")
    elif len(rest) > 63:
        problems.append("name part must be no more than 63 bytes")
    if not re.fullmatch(QUALIFIED, rest):
        problems.append(
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with"
            " an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for"
            " validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )
    return problems


def label_value(value: str) -> list[str]:
    """What is wrong with a label's value."""
    problems = ["must be no more than 63 bytes"] if len(value) > 63 else []
    if value and not re.fullmatch(QUALIFIED, value):
        problems.append(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.',"
            " and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or"
            " '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
    return problems


CHECKS: dict[tuple[str, str], Check] = {
    ("certificates.k8s.io", "CertificateSigningRequest"): path_segment,
    ("", "Namespace"): label,
    ("", "Service"): service_label,
    ("rbac.authorization.k8s.io", "Role"): path_segment,
    ("rbac.authorization.k8s.io", "ClusterRole"): path_segment,
    ("rbac.authorization.k8s.io", "RoleBinding"): path_segment,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): path_segment,
}


def check_for(group: str, kind: str) -> Check:
    """The rule for the names of a kind."""
    return CHECKS.get((group, kind), subdomain)
