"""Edge nodes without EdgeCore: thousands of them in one process, for the load and the faults of a cloud.

Each node is a `SimulatedNode` (what it says, no I/O) over the protocol's `EdgeSession`, on a connection
of its own (`Link`: TLS, WebSocket) with its own client certificate.
"""
