"""Kinds of the other groups: rbac, storage, networking, policy, autoscaling and more."""
