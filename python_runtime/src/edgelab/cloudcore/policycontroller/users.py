"""Which ServiceAccounts have pods on which nodes. No I/O."""

from __future__ import annotations

from collections import defaultdict

from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import key_of


class AccountUsers:
    """Pods by account, and the account and node of each pod."""

    def __init__(self) -> None:
        self._pods: dict[Key, tuple[Key, str]] = {}
        self._users: defaultdict[Key, set[Key]] = defaultdict(set)

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
        self._users[account].add(key)
        return concerned

    def drop(self, key: Key) -> set[Key]:
        """The pod is gone; the account that this concerns."""
        known = self._pods.pop(key, None)
        if known is None:
            return set()
        account = known[0]
        self._users[account].discard(key)
        if not self._users[account]:
            del self._users[account]
        return {account}

    def nodes(self, account: Key) -> set[str]:
        """The nodes with pods that run as the account."""
        return {self._pods[key][1] for key in self._users.get(account, ())}

    def accounts(self, namespace: str = "") -> list[Key]:
        """Every account with pods, or those of one namespace."""
        return [key for key in self._users if namespace in ("", key[0])]

    def accounts_on(self, node: str) -> set[Key]:
        """The accounts that pods on a node run as."""
        return {account for account, where in self._pods.values() if where == node}
