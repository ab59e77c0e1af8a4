"""The temperature of this host's CPU as a device."""
