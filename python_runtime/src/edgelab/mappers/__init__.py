"""Mappers: programs that join a physical device to its twin."""
