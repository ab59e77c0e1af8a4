"""Custom resources: their definitions, their schemas, and what their objects must be."""
