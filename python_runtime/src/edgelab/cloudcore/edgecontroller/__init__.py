"""Pods, nodes and their configuration: from the API to the nodes and back."""
