"""Samples on their way to the targets of `pushMethod`, beside the twins.

Receives: what devices read. Sends: to brokers, HTTP servers and databases, each in KubeEdge's format
(docs/reference/push.md). Stores: up to 1,000 samples for each target, in memory. When a target is gone,
it is tried again with growing delays, and nothing else notices.
"""
