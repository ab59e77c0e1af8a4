"""Requests that go on to a kubelet, a pod or a service: log, exec, attach, portforward, proxy.

Imported with the first of them only. `connections.Relay` is the door; below it each file has one thing:
where to (`nodes`, `podplaces`, `proxyplaces`), what was asked (`options`), the other server's side of a
request (`dialing`, `backend`), and the ways to pass it on (`logs`, `upgrades`, `forwarding`, ...).
"""
