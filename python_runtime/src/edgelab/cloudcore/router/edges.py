"""What nodes are told of rules whose messages they send: topics to subscribe to, URLs to let in.

Sends: `subscribe` and `start` for a rule that is new, and again for all rules of a node that connects: these
messages are not acknowledged (the original sends them once, and a node that was away never hears);
`unsubscribe` and `stop` for one that is gone, to a node that is away when it is back. A message of a node
that no rule is for takes its topic or URL back, too: then the rule ended while no CloudCore ran.
Shapes: KubeEdge `cloud/pkg/router/provider` (docs/reference/protocol.md).
"""

from __future__ import annotations

from edgelab.cloudcore.router.deliveries import EVENTBUS_SOURCE, GROUP, SERVICEBUS_SOURCE, Hub
from edgelab.cloudcore.router.rules import EVENTBUS, REST, SERVICEBUS, Origin, Rule
from edgelab.cloudcore.router.table import RuleTable
from edgelab.protocol import message as wire
from edgelab.protocol.content.users import BINARY
from edgelab.protocol.message import Message

OPERATIONS = {EVENTBUS: ("unsubscribe", "subscribe"), SERVICEBUS: ("stop", "start")}
SOURCES = {EVENTBUS: EVENTBUS_SOURCE, SERVICEBUS: SERVICEBUS_SOURCE}
REMEMBERED = 4096
"""Origins that ended while their node was away; beyond, the oldest is forgotten."""
OWN_PREFIXES = ("$", "SYS/")
"""Topics that every node sends, whatever the rules."""


class Edges:
    """Keeps nodes and rules in step."""

    def __init__(self, table: RuleTable, hub: Hub) -> None:
        self._table = table
        self._hub = hub
        self._ended: dict[Origin, None] = {}
        table.changed.append(self._changed)

    def bring(self, node: str) -> None:
        """The node has connected."""
        for origin in [origin for origin in self._ended if origin.where == node]:
            del self._ended[origin]
            self._tell(origin, begin=False)
        for rule in self._table.of_node(node):
            self._tell(rule.origin, begin=True)

    def stray(self, node: str, topic: str) -> None:
        """A node sent something for which there is no rule."""
        if not topic.startswith(OWN_PREFIXES) and topic.split("/")[1:2] != ["user"]:
            self._tell(Origin(EVENTBUS, node, (topic,)), begin=False)

    def _changed(self, old: Rule | None, new: Rule | None) -> None:
        if new is not None and new.origin.kind != REST:
            self._ended.pop(new.origin, None)
            if old is None:
                self._tell(new.origin, begin=True)
        elif new is None and old is not None and old.origin.kind != REST:
            self._tell(old.origin, begin=False)

    def _tell(self, origin: Origin, *, begin: bool) -> None:
        if not self._hub.connected(origin.where):
            if not begin:
                self._ended[origin] = None
                while len(self._ended) > REMEMBERED:
                    del self._ended[next(iter(self._ended))]
            return
        node = origin.where
        self._hub.send(node, notice(origin, begin=begin, extended=self._hub.extended(node)))


def notice(origin: Origin, *, begin: bool, extended: bool = False) -> Message:
    """The message for a node. Ours learns that it may send bytes which are no text."""
    binary = extended and begin and origin.kind == EVENTBUS
    return wire.new(
        source=SOURCES[origin.kind],
        group=GROUP,
        operation=OPERATIONS[origin.kind][begin],
        resource=origin.what[0],
        content={BINARY: True} if binary else None,
    )
