"""Certificates, keys and join tokens: the only place that signs anything."""
