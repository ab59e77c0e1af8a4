"""A mapper for Modbus TCP and RTU. Keys of its devices: docs/reference/mappers.md."""
