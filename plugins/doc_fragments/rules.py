"""Documentation that the modules for rules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that become annotations C(edgelab.io/*)."""

    DOCUMENTATION = r"""
options:
  name:
    description: Name of the object.
    type: str
    required: true
  namespace:
    description: Its namespace; a rule and its endpoints are in one.
    type: str
    default: default
  state:
    description: Whether the object is to be there.
    type: str
    choices: [present, absent]
    default: present
  labels:
    description: Labels to set.
    type: dict
  spool:
    description:
      - Whether messages for an C(eventbus) are kept, on CloudCore's disk, while their node is away.
    type: bool
  rate_limit:
    description: Messages a second; further ones are refused (REST) or delayed (MQTT). V(0) is no limit.
    type: float
  authentication:
    description: What a REST client has to show.
    type: str
    choices: [none, token, certificate]
  token_secret:
    description: Name of a Secret in O(namespace) whose key C(token) clients have to know.
    type: str
  certificate_names:
    description: Names, of which a client's certificate has to have one. Without any, every one will do.
    type: list
    elements: str
  tls_verify:
    description: Whether the certificate of an C(https) target is checked. It is, unless this is V(false).
    type: bool
"""
