"""The router: carries out Rules, which lead messages between REST, MQTT and services at the edge."""
