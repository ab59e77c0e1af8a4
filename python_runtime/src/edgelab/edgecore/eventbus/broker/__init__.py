"""The internal MQTT broker of `mqttMode` 0 and 1: MQTT 3.1.1, in memory, on EdgeCore's event loop."""
