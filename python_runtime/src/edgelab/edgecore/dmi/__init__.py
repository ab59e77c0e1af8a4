"""DMI: the devices of this node and the mappers that drive them."""
