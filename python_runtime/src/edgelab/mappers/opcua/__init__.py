"""A mapper for OPC UA. Keys of its devices: docs/reference/mappers.md."""
