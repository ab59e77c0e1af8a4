"""What EdgeCore's modules ask of one another.

app.py builds the modules and hands each the few things it calls; these protocols are those things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from edgelab.protocol.message import Message
from edgelab.protocol.twin import Twin

Obj: TypeAlias = dict[str, Any]


class Offline(Exception):
    """The cloud is not connected; the request was not sent."""


class NoAnswer(Exception):
    """The cloud did not answer within the request's deadline."""


class RemoteError(Exception):
    """The cloud answered with a Kubernetes Status; `reason` and `code` are the Status's own."""

    def __init__(self, message: str, *, reason: str = "", code: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code


class Refused(Exception):
    """A report of a device that is not taken; `str()` is the reason, `code` is as in HTTP."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class PullFailed(Exception):
    """Why an image cannot be had on this node."""


class Puller(Protocol):
    """edged as whoever wants images on this node sees it."""

    async def pull_image(self, image: str, secret: str) -> None:
        """Have the image here; `secret` is `namespace/name` of one with credentials, or empty.

        Raises PullFailed."""
        ...


class Hub(Protocol):
    """EdgeHub: the connection to CloudCore."""

    @property
    def connected(self) -> bool:
        """Whether a session is up."""
        ...

    async def send(self, message: Message) -> None:
        """Queue a message; raises Offline. Waits when the send queue is full."""
        ...

    async def request(self, message: Message, deadline: float) -> Message:
        """Send and await the message whose parent is this one, for `deadline` seconds at most.

        Raises Offline or NoAnswer."""
        ...

    def on_connection(self, listener: Callable[[bool], None]) -> None:
        """Call `listener(connected)` at each change, from the event loop."""
        ...


class Meta(Protocol):
    """MetaManager as edged sees it: what is stored here, and what goes to the cloud.

    Requests raise Offline, NoAnswer or RemoteError.
    """

    def pods(self) -> list[Obj]:
        """All pods stored for this node (also right after a start without the cloud)."""
        ...

    def node(self, name: str) -> Obj | None:
        """The stored Node."""
        ...

    async def config_map(self, namespace: str, name: str) -> Obj:
        """The ConfigMap, from the store first, else from the cloud."""
        ...

    async def secret(self, namespace: str, name: str) -> Obj:
        """The Secret, from the store first, else from the cloud."""
        ...

    async def service_account_token(self, namespace: str, name: str, request: Obj) -> Obj:
        """A TokenRequest with its status: a stored one while it is fresh enough, else a new one."""
        ...

    async def query_node(self, name: str) -> Obj:
        """The Node from the cloud; it is stored."""
        ...

    async def create_node(self, node: Obj) -> Obj:
        """Register; RemoteError with reason AlreadyExists when it is there."""
        ...

    async def update_node(self, node: Obj) -> None:
        """Send labels, annotations and taints of an existing Node."""
        ...

    async def patch_node_status(self, name: str, patch: Obj) -> Obj:
        """Strategic merge patch of the Node's status."""
        ...

    async def patch_pod_status(self, namespace: str, name: str, patch: Obj) -> Obj:
        """Strategic merge patch of a Pod's status; kept while offline, the newest wins."""
        ...

    async def create_pod(self, pod: Obj) -> Obj:
        """Create a mirror pod; gives it as the API has it."""
        ...

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Remove a terminated pod from the API (grace 0, UID precondition)."""
        ...

    async def forget_pod(self, namespace: str, name: str, uid: str) -> None:
        """Drop a pod that the API does not know any more."""
        ...

    async def send_event(self, event: Obj, *, create: bool) -> None:
        """Hand an Event to the cloud, which answers nothing to it."""
        ...

    async def get_lease(self, name: str) -> Obj:
        """The node's Lease from the cloud."""
        ...

    async def put_lease(self, lease: Obj, *, create: bool) -> Obj:
        """Create or update the node's Lease."""
        ...


class PodConsumer(Protocol):
    """edged as MetaManager sees it. The calls return at once; the work is edged's own."""

    def pod_changed(self, pod: Obj) -> None:
        """A pod of this node was stored or changed (deletionTimestamp means: end it gracefully)."""
        ...

    def pod_removed(self, namespace: str, name: str, uid: str) -> None:
        """A pod is gone from the API; an empty uid means whatever carries the name."""
        ...

    def config_changed(self, kind: str, namespace: str, name: str) -> None:
        """A `configmap` or `secret` that is stored here changed or went away."""
        ...

    def node_changed(self, node: Obj) -> None:
        """The stored Node changed."""
        ...


class DeviceConsumer(Protocol):
    """Whoever follows the node's Devices, as MetaManager sees it. The calls return at once."""

    def device_changed(self, device: Obj) -> None:
        """A Device was stored or changed; wanted values are in `spec.properties[].desired`."""
        ...

    def device_removed(self, device_id: str, uid: str) -> None:
        """A Device is gone; an empty uid means whatever carries the id (`<namespace>/<name>`)."""
        ...


class MapperConsumer(Protocol):
    """DMI as MetaManager sees it."""

    def object_changed(self, kind: str, object_id: str) -> None:
        """A `device` or `devicemodel` was stored or deleted; DeviceTwin has been told."""
        ...


class Twins(Protocol):
    """DeviceTwin as DMI sees it; device ids are `<namespace>/<name>`.

    A report is treated as an MQTT client's would be: MQTT clients and the cloud are told of it.
    """

    async def report(self, device_id: str, twins: Mapping[str, Twin | None]) -> None:
        """Take over what a mapper read (`actual`) and what it was told to reach (`expected`).

        Waits while too much is uncommitted. Raises Refused: 404 for an unknown device, 400 for a value."""
        ...

    async def report_state(self, device_id: str, state: str) -> None:
        """Take over a device's state. Raises Refused: 404 for an unknown device, 400 for a state."""
        ...
