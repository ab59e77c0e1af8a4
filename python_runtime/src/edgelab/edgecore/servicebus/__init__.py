"""ServiceBus: HTTP between the cloud's router and programs on the node."""
