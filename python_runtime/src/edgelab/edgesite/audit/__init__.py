"""The audit log: who asked for what, and what became of it (audit.k8s.io/v1).

Loaded only when a file for it is given.
"""
