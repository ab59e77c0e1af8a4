"""Which ServiceAccounts have pods on which nodes. No I/O."""

from __future__ import annotations

from collections import Counter, defaultdict

from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import key_of


class AccountUsers:
    """How many pods of each account are on each node, and the account and node of each pod."""

    def __init__(self) -> None:
        self._pods: dict[Key, tuple[Key, str]] = {}
        self._nodes: defaultdict[Key, Counter[str]] = defaultdict(Counter)

    def put(self, pod: Obj) -> set[Key]:
        """The pod is there, or has changed; the accounts that this concerns."""
        spec = pod.get("spec") or {}
        key = key_of(pod)
        account, node = (key[0], spec.get("serviceAccountName") or "default"), spec.get("nodeName") or ""
        if not node:
            return self.drop(key)
        if self._pods.get(key) == (account, node):
            return set()
        concerned = self.drop(key) | {account}
        self._pods[key] = (account, node)
        self._nodes[account][node] += 1
        return concerned

    def drop(self, key: Key) -> set[Key]:
        """The pod is gone; the account that this concerns."""
        known = self._pods.pop(key, None)
        if known is None:
            return set()
        account, node = known
        counts = self._nodes[account]
        counts[node] -= 1
        if not counts[node]:
            del counts[node]
        if not counts:
            del self._nodes[account]
        return {account}

    def nodes(self, account: Key) -> set[str]:
        """The nodes with pods that run as the account."""
        return set(self._nodes.get(account, ()))

    def runs(self, account: Key, node: str) -> bool:
        """Whether a pod on the node runs as the account."""
        return node in self._nodes.get(account, ())

    def accounts(self, namespace: str = "") -> list[Key]:
        """Every account with pods, or those of one namespace."""
        return [key for key in self._nodes if namespace in ("", key[0])]

    def accounts_on(self, node: str) -> set[Key]:
        """The accounts that pods on a node run as."""
        return {account for account, counts in self._nodes.items() if node in counts}
