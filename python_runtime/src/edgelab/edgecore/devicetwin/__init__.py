"""DeviceTwin: the devices of this node, their twins and states."""
