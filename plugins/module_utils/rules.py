"""Rules and RuleEndpoints (rules.kubeedge.io/v1) out of a module's options, and applying them."""

from __future__ import annotations

import json

from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    CLUSTER_SPEC,
    KEADM_SPEC,
    KeadmError,
    ask,
    not_yet,
    outcome,
)

API_VERSION = "rules.kubeedge.io/v1"
PREFIX = "edgelab.io/"
OPTION_SPEC = {
    "spool": {"type": "bool"},
    "rate_limit": {"type": "float"},
    "authentication": {"type": "str", "choices": ["none", "token", "certificate"]},
    "token_secret": {"type": "str", "no_log": False},
    "certificate_names": {"type": "list", "elements": "str"},
    "tls_verify": {"type": "bool"},
}
"""Options that become annotations of the same name."""
COMMON_SPEC = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "labels": {"type": "dict"},
    **OPTION_SPEC,
    **KEADM_SPEC,
    **CLUSTER_SPEC,
}
"""Options of both modules."""


class FieldError(Exception):
    """An option that cannot be; the message begins with its name."""


def manifest(kind, params, spec=None):
    """An object of the API; without a spec enough of one to be deleted."""
    metadata = {"name": params["name"], "namespace": params["namespace"]}
    made = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata}
    if spec is None:
        return made
    if params.get("labels"):
        metadata["labels"] = {key: str(value) for key, value in params["labels"].items()}
    if annotations := annotations_of(params):
        metadata["annotations"] = annotations
    return dict(made, spec=spec)


def annotations_of(params):
    """The annotations that the options stand for. Raises FieldError."""
    if params["authentication"] == "token" and not params["token_secret"]:
        raise FieldError("token_secret: authentication by token needs the name of a Secret")
    if params["rate_limit"] is not None and params["rate_limit"] < 0:
        raise FieldError("rate_limit: a rate is not negative")
    found = {}
    for name in OPTION_SPEC:
        value = params[name]
        if value is not None:
            found[PREFIX + name.replace("_", "-")] = text_of(value)
    return found


def text_of(value):
    """A value as an annotation has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def carry_out(module, own, described):
    """Apply or delete what `described` makes of the options, and end the module, whose name is `own`."""
    params = module.params
    try:
        made = described(params)
    except FieldError as error:
        module.fail_json(msg=f"{own}: {error}")
    present = params["state"] == "present"
    if reason := not_yet(module):
        module.exit_json(changed=present, action="created" if present else "unchanged", msg=reason)
    words = ["apply" if present else "delete", "--kube-config", params["kubeconfig"], "--filename", "-"]
    try:
        answer = ask(module, [*words, *(["--check"] if module.check_mode else [])], stdin=json.dumps(made))
    except KeadmError as error:
        module.fail_json(msg=f"{own}: {error}")
    result, _done = outcome(module, f"{made['kind']}/{params['namespace']}/{params['name']}", answer)
    module.exit_json(**result)
