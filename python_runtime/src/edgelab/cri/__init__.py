"""Containers from the client's side."""
