"""`modules.cloudHub.authorization`: the API server decides what each node may do (SubjectAccessReview).

Receives: requests of nodes from the hub. Asks: whether `system:node:<node>` of group `system:nodes` may do
that; the node is the one in the certificate. The server's Node authorizer and RBAC answer.
Keeps: answers for a while, `KNOWN` at most, so that leases and statuses do not ask each time.
Without the API: nothing is allowed that is not known, as nothing could be carried out either. With `debug`
everything is allowed and what would be refused is told.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from edgelab.cloudcore.cloudhub.attributes import Attributes, attributes_of, is_own
from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.cloudcore.cloudhub.pki import NODES_GROUP, USER_PREFIX
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Unreachable
from edgelab.kube.impersonation import acting_as
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import SUBJECT_ACCESS_REVIEWS
from edgelab.objects.status import ApiError
from edgelab.protocol.message import Message

KNOWN = 16384
ALLOWED_SECONDS, DENIED_SECONDS = 300.0, 5.0
"""How long an answer is believed. A refusal may end at any moment, when a pod is bound to the node."""
DENIED, NOT_ASKED = "NotAuthorized", "AuthorizationNotAsked"
GROUPS = (NODES_GROUP, "system:authenticated")


class _Question(NamedTuple):
    node: str
    attributes: Attributes


class _Answer(NamedTuple):
    allowed: bool
    reason: str
    until: float


class Authorizer:
    """Decides about messages. Calls return an error for the node, or None when it may go on."""

    def __init__(self, api: KubeApi, complaints: Complaints, *, debug: bool, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._complaints = complaints
        self._debug = debug
        self._clock = clock
        self._answers: OrderedDict[_Question, _Answer] = OrderedDict()

    async def refusal(self, node: str, message: Message) -> ApiError | None:
        """Why the node may not send this message; with `debug` it is only told."""
        error = await self._decide(node, message)
        if error is None:
            return None
        reason = DENIED if error.code == 403 else NOT_ASKED
        text = f"{message.route.operation} of {message.route.resource}: {error}"
        if self._debug:
            text = f"would be refused (modules.cloudHub.authorization.debug is on): {text}"
        self._complaints.tell(node, reason, text)
        return None if self._debug else error

    def acting(self, node: str) -> AbstractContextManager[None]:
        """Inside, requests to the API server are the node's own, so that its admission counts, too."""
        return nullcontext() if self._debug else acting_as(USER_PREFIX + node, (NODES_GROUP,))

    async def _decide(self, node: str, message: Message) -> ApiError | None:
        if is_own(message.route):
            return None
        attributes = attributes_of(message.route)
        if attributes is None:
            return ApiError(403, "Kubernetes has no such action, and it is none of KubeEdge's own")
        question = _Question(node, attributes)
        answer = self._answers.get(question)
        if answer is None or answer.until <= self._clock.monotonic():
            try:
                answer = await self._ask(question)
            except Unreachable as error:
                return ApiError(503, f"the API server cannot be asked: {error}")
            except ApiError as error:
                return ApiError(
                    503, f"the API server does not answer SubjectAccessReviews: {error}{_fix(error)}"
                )
        if answer.allowed:
            return None
        user = USER_PREFIX + node
        resource = "/".join(filter(None, (attributes.resource, attributes.subresource)))
        return ApiError(
            403,
            f'{resource} "{attributes.name}" is forbidden: User "{user}" cannot {attributes.verb} it'
            + (answer.reason and f": {answer.reason}"),
            details={"name": attributes.name, "kind": attributes.resource},
        )

    async def _ask(self, question: _Question) -> _Answer:
        made = await self._api.create(SUBJECT_ACCESS_REVIEWS, _review(question))
        status = made.get("status") or {}
        allowed = bool(status.get("allowed"))
        life = ALLOWED_SECONDS if allowed else DENIED_SECONDS
        answer = _Answer(allowed, status.get("reason") or "", self._clock.monotonic() + life)
        self._answers[question] = answer
        self._answers.move_to_end(question)
        if len(self._answers) > KNOWN:
            self._answers.popitem(last=False)
        return answer


def _review(question: _Question) -> Obj:
    given = {key: value for key, value in question.attributes._asdict().items() if value}
    spec = {"user": USER_PREFIX + question.node, "groups": list(GROUPS), "resourceAttributes": given}
    return {"spec": spec}


def _fix(error: ApiError) -> str:
    if error.code != 403:
        return ""
    return "; bind CloudCore's user to ClusterRole system:auth-delegator"
