"""How much is written about which request: `Policy` of audit.k8s.io/v1 (`apiserver/pkg/audit/policy`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.apiserver.authorization import Attributes
from edgelab.edgesite.apiserver.context import User

Obj = dict[str, Any]

NONE, METADATA, REQUEST, RESPONSE = LEVELS = ("None", "Metadata", "Request", "RequestResponse")
RECEIVED, STARTED, COMPLETE, PANIC = STAGES = (
    "RequestReceived",
    "ResponseStarted",
    "ResponseComplete",
    "Panic",
)
KNOWN = {
    "level",
    "users",
    "userGroups",
    "verbs",
    "resources",
    "namespaces",
    "nonResourceURLs",
    "omitStages",
    "omitManagedFields",
}
SECRET = {
    ("", "secrets"),
    ("", "serviceaccounts/token"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authentication.k8s.io", "tokenrequests"),
}
"""Of these no body is ever written, whatever the policy says."""


class Decision(NamedTuple):
    """What to write of one request."""

    level: str
    omit_stages: tuple[str, ...] = ()
    omit_managed: bool = False


class Policy:
    """The first rule that fits decides; a request that fits none is not written."""

    def __init__(
        self, rules: Sequence[Obj], omit_stages: Sequence[str] = (), *, omit_managed: bool = False
    ) -> None:
        self._rules = list(rules)
        self._omit_stages = tuple(omit_stages)
        self._omit_managed = omit_managed

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """The level for a request, as `user` came in with it."""
        for rule in self._rules:
            if _fits(rule, user, wanted):
                level = rule["level"]
                if (wanted.group, wanted.full_resource) in SECRET and level in (REQUEST, RESPONSE):
                    level = METADATA
                stages = (*self._omit_stages, *(rule.get("omitStages") or ()))
                return Decision(level, stages, bool(rule.get("omitManagedFields", self._omit_managed)))
        return Decision(NONE)


EVERYTHING = Policy([{"level": METADATA}], (RECEIVED,))
"""Without a policy file: one line of metadata for each request, when it is answered."""


def load(path: Path) -> Policy:
    """The policy of a file. Raises Fatal that names the field."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise Fatal(f"cannot read --audit-policy-file {path}: {error.strerror}", code=2) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Fatal(f"{path} is no YAML: {error}", code=2) from error
    problem = _problem(document)
    if problem:
        raise Fatal(f"{path}: {problem}", code=2)
    return Policy(
        document["rules"],
        document.get("omitStages") or (),
        omit_managed=bool(document.get("omitManagedFields")),
    )


def _problem(document: Any) -> str:
    if not isinstance(document, dict) or document.get("kind") != "Policy":
        return "kind must be Policy"
    if document.get("apiVersion") != "audit.k8s.io/v1":
        return "apiVersion must be audit.k8s.io/v1"
    rules = document.get("rules")
    if not isinstance(rules, list) or not rules:
        return "rules: Required value: loaded illegal policy with 0 rules"
    problems = (_rule_problem(rule, f"rules[{place}]") for place, rule in enumerate(rules))
    return _stages_problem(document, "") or next(filter(None, problems), "")


def _rule_problem(rule: Any, field: str) -> str:
    if not isinstance(rule, dict):
        return f"{field}: must be an object"
    if rule.get("level") not in LEVELS:
        choices = ", ".join(f'"{level}"' for level in LEVELS)
        return f'{field}.level: Unsupported value: "{rule.get("level") or ""}": supported values: {choices}'
    wrong = _type_problem(rule, field)
    if wrong:
        return wrong
    if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
        return f"{field}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs"
    return _stages_problem(rule, f"{field}.")


def _type_problem(rule: Obj, field: str) -> str:
    unknown = sorted(set(rule) - KNOWN)
    if unknown:
        return f"{field}.{unknown[0]}: unknown field"
    for key in ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs"):
        if not all(isinstance(item, str) for item in _list(rule.get(key))):
            return f"{field}.{key}: must be a list of strings"
    if not all(isinstance(item, dict) for item in _list(rule.get("resources"))):
        return f"{field}.resources: must be a list of objects with group and resources"
    return ""


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [None]


def _stages_problem(where: Obj, field: str) -> str:
    wrong = [stage for stage in _list(where.get("omitStages")) if stage not in STAGES]
    return f'{field}omitStages: Invalid value: "{wrong[0]}": unsupported stage' if wrong else ""


def _fits(rule: Obj, user: User, wanted: Attributes) -> bool:
    if rule.get("users") and user.name not in rule["users"]:
        return False
    if rule.get("userGroups") and not set(rule["userGroups"]) & set(user.groups):
        return False
    if rule.get("verbs") and wanted.verb not in rule["verbs"]:
        return False
    if rule.get("namespaces") or rule.get("resources"):
        return _fits_resource(rule, wanted)
    paths = rule.get("nonResourceURLs")
    if not paths:
        return True
    return bool(wanted.path) and any(
        path in ("*", wanted.path) or (path.endswith("*") and wanted.path.startswith(path.rstrip("*")))
        for path in paths
    )


def _fits_resource(rule: Obj, wanted: Attributes) -> bool:
    if wanted.path or (rule.get("namespaces") and wanted.namespace not in rule["namespaces"]):
        return False
    return not rule.get("resources") or any(_covers(item, wanted) for item in rule["resources"])


def _covers(item: Obj, wanted: Attributes) -> bool:
    if (item.get("group") or "") != wanted.group:
        return False
    resources, names = item.get("resources"), item.get("resourceNames")
    if not resources:
        return True
    if names and wanted.name not in names:
        return False
    any_sub, any_of = f"*/{wanted.subresource}", f"{wanted.resource}/*"
    return any(
        entry in ("*", wanted.full_resource, any_of) or (bool(wanted.subresource) and entry == any_sub)
        for entry in resources
    )
