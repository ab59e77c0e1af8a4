"""Devices: from the API to the nodes, and what they report back."""
