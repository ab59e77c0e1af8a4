"""Endpoints on other nodes: through CloudCore, with the node's certificate."""
