"""EventBus: MQTT between DeviceTwin, the cloud's router and the programs on the node."""
