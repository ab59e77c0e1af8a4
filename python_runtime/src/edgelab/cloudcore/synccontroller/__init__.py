"""Repairs the difference between the API and what nodes have acknowledged."""
