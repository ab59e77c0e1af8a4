"""Workloads of apps and batch, and the ReplicationController."""
