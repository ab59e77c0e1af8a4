"""Ask the host's keadm, and turn its JSON answer into a module's result.

Secrets go to keadm through stdin, never as arguments, which every user of the host could read.
"""

from __future__ import annotations

import json
import os

DEFAULT_KEADM = "/opt/edgelab/current/bin/keadm"
DEFAULT_KUBECONFIG = "/etc/edgelab/admin.kubeconfig"
KEADM_SPEC = {"keadm": {"type": "path", "default": DEFAULT_KEADM}}
CLUSTER_SPEC = {"kubeconfig": {"type": "path", "default": DEFAULT_KUBECONFIG}}


class KeadmError(Exception):
    """keadm refused or could not be run; `answer` is what it said in JSON, if it did."""

    def __init__(self, message, answer=None):
        super().__init__(message)
        self.answer = answer or {}


SECRET_KEYS = frozenset(("token", "password", "mqttpassword", "bearertoken"))


def secrets_in(value):
    """Texts below keys that name a secret."""
    if isinstance(value, dict):
        for key, item in value.items():
            if str(key).lower() in SECRET_KEYS and isinstance(item, str) and item:
                yield item
            else:
                yield from secrets_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from secrets_in(item)


def not_yet(module):
    """In check mode on a host where nothing is installed yet: why keadm cannot be asked. Empty otherwise."""
    if not module.check_mode:
        return ""
    needed = [module.params["keadm"], module.params.get("kubeconfig")]
    missing = [path for path in needed if path and not os.path.exists(path)]
    return f"{missing[0]} is not there yet, so everything counts as a change" if missing else ""


def outdated(module, error):
    """In check mode before an upgrade: that this keadm has no such command yet. Empty otherwise."""
    if module.check_mode and "No such command" in str(error):
        return f"{module.params['keadm']} is of an older release, so everything counts as a change"
    return ""


def diff_of(changes):
    """A module's diff of objects: (title, before, after) of each, a side that is None is not shown."""
    diff = {"before": "", "after": ""}
    for title, before, after in changes:
        for side, value in (("before", before), ("after", after)):
            if value is not None:
                diff[side] += f"{title} {json.dumps(value, indent=2, sort_keys=True)}\n"
    return diff


def outcome(module, title, answer):
    """A module's result from keadm's answer about one object, `title` of the diff; and what became of it."""
    [done] = answer["objects"]
    result = {"changed": answer["changed"], "action": done["action"]}
    if module._diff and answer["changed"]:
        result["diff"] = diff_of([(title, done["before"], done["after"])])
    return result, done


def ask(module, arguments, stdin=None):
    """Run keadm with `--output json`. Returns its answer; raises KeadmError.

    `module` is an AnsibleModule; `stdin` is text, or data to be sent as JSON.
    """
    program = module.params["keadm"]
    if not os.access(program, os.X_OK):
        raise KeadmError(
            f"there is no {program} on this host: install the runtime first (module edge_runtime)"
        )
    data = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
    status, out, err = module.run_command([program, *arguments, "--output", "json"], data=data)
    return parse_answer(status, out, err)


def parse_answer(status, out, err):
    """The JSON answer in keadm's output. Raises KeadmError when it failed or said no JSON."""
    try:
        answer = json.loads(out)
    except ValueError:
        words = (err or out).strip().splitlines()
        told = words[-1] if words else "it said nothing"
        raise KeadmError(f"keadm failed with status {status}: {told}") from None
    if status != 0 or "error" in answer:
        raise KeadmError(answer.get("error", f"keadm failed with status {status}"), answer)
    return answer
