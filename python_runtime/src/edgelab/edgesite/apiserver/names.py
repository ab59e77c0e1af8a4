"""Names as apimachinery `pkg/api/validation` and `pkg/util/validation` check them."""

from __future__ import annotations

import re
from collections.abc import Callable

from edgelab.objects.labelnames import (
    LABEL,
    SUBDOMAIN,
    described,
    is_subdomain,
    label_value,
    qualified,
    subdomain,
    too_long,
)

UNDERSCORED = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
UNDERSCORED_SUBDOMAIN = rf"{UNDERSCORED}(\.{UNDERSCORED})*"
SERVICE = "[a-z]([-a-z0-9]*[a-z0-9])?"
CONFIG_KEY = r"[-._a-zA-Z0-9]+"
HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
Check = Callable[[str], list[str]]

_label = re.compile(LABEL).fullmatch
_underscored = re.compile(UNDERSCORED_SUBDOMAIN).fullmatch
_service = re.compile(SERVICE).fullmatch
_config_key = re.compile(CONFIG_KEY).fullmatch


def underscored_subdomain(name: str) -> list[str]:
    """What is wrong with a search domain of a resolver."""
    problems = too_long(name, 253)
    if not _underscored(name):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or"
            " '.', and must start and end with an alphanumeric character"
        )
        problems.append(described(text, UNDERSCORED_SUBDOMAIN, "example.com"))
    return problems


def wildcard_subdomain(name: str) -> list[str]:
    """What is wrong with `*.example.com`."""
    problems, pattern = too_long(name, 253), rf"\*\.{SUBDOMAIN}"
    if not re.fullmatch(pattern, name):
        text = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which"
            " must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric"
            " character"
        )
        problems.append(described(text, pattern, "*.example.com"))
    return problems


def label(name: str) -> list[str]:
    """What is wrong with a DNS-1123 label."""
    if _label(name) and len(name) <= 63:
        return []
    problems = too_long(name, 63)
    if not _label(name):
        text = (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
            " and must start and end with an alphanumeric character"
        )
        dotted = "must not contain dots"
        problems.append(dotted if is_subdomain(name) else described(text, LABEL, "my-name", "123-abc"))
    return problems


def service_label(name: str) -> list[str]:
    """What is wrong with a DNS-1035 label."""
    problems = too_long(name, 63)
    if not _service(name):
        text = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
            " alphabetic character, and end with an alphanumeric character"
        )
        problems.append(described(text, SERVICE, "my-name", "abc-123"))
    return problems


def path_segment(name: str) -> list[str]:
    """What is wrong with a name that only has to fit into a path."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in name]


def config_key(key: str) -> list[str]:
    """What is wrong with a key of a ConfigMap or Secret."""
    problems = too_long(key, 253)
    if not _config_key(key):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        problems.append(described(text, CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if key in (".", ".."):
        problems.append(f"must not be '{key}'")
    elif key.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def port_name(name: str) -> list[str]:
    """What is wrong with the name of a port (IANA_SVC_NAME)."""
    problems = too_long(name, 15)
    if not re.fullmatch("[-a-z0-9]+", name):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        problems.append("must contain at least one letter (a-z)")
    if "--" in name:
        problems.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def env_name(name: str) -> list[str]:
    """What is wrong with the name of an environment variable."""
    problems = ["environment variable name must be non-empty"] if not name else []
    if not all(" " <= char <= "~" and char != "=" for char in name):
        problems.append(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
    return problems


def http_header(name: str) -> list[str]:
    """What is wrong with the name of an HTTP header."""
    if re.fullmatch("[-A-Za-z0-9]+", name):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [described(text, "[-A-Za-z0-9]+", "X-Header-Name")]


def percent(text: str) -> list[str]:
    """What is wrong with a percentage."""
    if re.fullmatch("[0-9]+%", text):
        return []
    message = "a valid percent string must be a numeric string followed by an ending '%'"
    return [described(message, "[0-9]+%", "1%", "93%")]


def masked(prefix: str) -> str:
    """A generateName as it is checked: its trailing dash will be followed by something."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix


RBAC = "rbac.authorization.k8s.io"
CHECKS: dict[tuple[str, str], Check] = {
    ("apiregistration.k8s.io", "APIService"): path_segment,
    ("certificates.k8s.io", "CertificateSigningRequest"): path_segment,
    ("", "Namespace"): label,
    ("", "Service"): service_label,
    ("networking.k8s.io", "IPAddress"): lambda name: [],  # an address, which its strategy checks
    ("apps", "StatefulSet"): label,
    (RBAC, "Role"): path_segment,
    (RBAC, "ClusterRole"): path_segment,
    (RBAC, "RoleBinding"): path_segment,
    (RBAC, "ClusterRoleBinding"): path_segment,
}


def check_for(group: str, kind: str) -> Check:
    """The rule for the names of a kind."""
    return CHECKS.get((group, kind), subdomain)


__all__ = [
    "CONFIG_KEY",
    "HTTP_PATH",
    "LABEL",
    "SERVICE",
    "SUBDOMAIN",
    "Check",
    "check_for",
    "config_key",
    "env_name",
    "http_header",
    "label",
    "label_value",
    "masked",
    "path_segment",
    "percent",
    "port_name",
    "qualified",
    "service_label",
    "subdomain",
    "underscored_subdomain",
    "wildcard_subdomain",
]
