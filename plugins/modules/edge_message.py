#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Send a message to a node through the router."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_message
short_description: Send a message to a node through the router
version_added: 1.0.0
description:
  - Makes one HTTP request at CloudCore's router, whose rule for the path publishes it on the node's MQTT or
    calls a service there, and returns what came back.
  - A request is made each time and is not repeated when it fails, so the result is changed, except for
    O(method=GET) and O(method=HEAD). Give a task that only asks in another way C(changed_when=false).
author:
  - edgelab contributors (@edgelab)
options:
  url:
    description: Where the router listens, as seen from the host that the module runs on.
    type: str
    default: http://127.0.0.1:9443
  node:
    description: The node.
    type: str
    required: true
  namespace:
    description: Namespace of the rule.
    type: str
    default: default
  path:
    description: The rule's path and what is to be appended to its target, with a query if there is one.
    type: str
    required: true
  method:
    description: Method of the request.
    type: str
    choices: [GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS]
    default: POST
  body:
    description: What to send. A text is sent as it is; anything else, such as a dictionary, as JSON.
    type: raw
  headers:
    description: Headers of the request.
    type: dict
    default: {}
  token:
    description: Bearer token that the rule asks for.
    type: str
  ca_cert:
    description: File, on the host, with the authorities to trust. Without one those of the system.
    type: path
  client_cert:
    description: File, on the host, with a certificate for this client.
    type: path
  client_key:
    description: File, on the host, with the key of O(client_cert).
    type: path
  status_code:
    description: Statuses that are no failure. V(202) is a message that is kept until the node connects.
    type: list
    elements: int
    default: [200, 201, 202, 204]
  timeout:
    description: Seconds for the whole request.
    type: int
    default: 65
seealso:
  - module: edgelab.kubeedge.rule
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
attributes:
  check_mode:
    description: Tells what would be requested, and asks nobody.
  diff_mode:
    support: none
  idempotent:
    description: Each run makes a request.
    support: none
"""

EXAMPLES = r"""
- name: Publish on a node's MQTT
  edgelab.kubeedge.edge_message:
    node: edge-1
    path: /commands/lamp
    body: {state: "on"}

- name: Ask a service at the edge
  edgelab.kubeedge.edge_message:
    url: https://cloud.example.org:9443
    node: edge-1
    path: /service/status
    method: GET
    token: "{{ router_token }}"
  register: status
"""

RETURN = r"""
url:
  description: What was requested.
  type: str
  returned: always
status:
  description: Status of the answer.
  type: int
  returned: when there was an answer
body:
  description: The answer as text.
  type: str
  returned: when there was an answer
json:
  description: The answer as data, where it is JSON.
  type: raw
  returned: when it is JSON
headers:
  description: Headers of the answer, names in lower case.
  type: dict
  returned: when there was an answer
"""

import contextlib
import json
from urllib.error import HTTPError

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

SPEC = {
    "url": {"type": "str", "default": "http://127.0.0.1:9443"},
    "node": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "path": {"type": "str", "required": True},
    "method": {
        "type": "str",
        "choices": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        "default": "POST",
    },
    "body": {"type": "raw"},
    "headers": {"type": "dict", "default": {}},
    "token": {"type": "str", "no_log": True},
    "ca_cert": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "status_code": {"type": "list", "elements": "int", "default": [200, 201, 202, 204]},
    "timeout": {"type": "int", "default": 65},
}


def address(params):
    """What is requested."""
    parts = (params["url"].rstrip("/"), params["node"], params["namespace"], params["path"].lstrip("/"))
    return "/".join(parts)


def body_and_headers(params):
    """What is sent; JSON is said to be so."""
    body, headers = params["body"], {key: str(value) for key, value in params["headers"].items()}
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
    if params["token"]:
        headers["Authorization"] = f"Bearer {params['token']}"
    return body, headers


def request(params, url):
    """The answer. Raises OSError and ValueError when there is none."""
    body, headers = body_and_headers(params)
    try:
        return open_url(
            url,
            method=params["method"],
            data=body,
            headers=headers,
            timeout=params["timeout"],
            ca_path=params["ca_cert"],
            client_cert=params["client_cert"],
            client_key=params["client_key"],
            use_proxy=False,
            follow_redirects="none",
        )
    except HTTPError as error:
        return error


def told(answer):
    """What the module returns of an answer."""
    body = answer.read().decode("utf-8", "replace")
    found = {
        "status": answer.getcode(),
        "body": body,
        "headers": {name.lower(): value for name, value in answer.headers.items()},
    }
    with contextlib.suppress(ValueError):
        found["json"] = json.loads(body)
    return found


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    params = module.params
    url = address(params)
    changed = params["method"] not in ("GET", "HEAD")
    if module.check_mode:
        module.exit_json(changed=changed, url=url)
    try:
        found = told(request(params, url))
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"edge_message: {url}: {error}", url=url)
    if found["status"] not in params["status_code"]:
        text = found["body"].strip()[:300]
        module.fail_json(msg=f"edge_message: {url}: status {found['status']}: {text}", url=url, **found)
    module.exit_json(changed=changed, url=url, **found)


if __name__ == "__main__":
    main()
