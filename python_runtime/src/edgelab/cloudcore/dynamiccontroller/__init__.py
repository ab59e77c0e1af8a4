"""DynamicController: the Kubernetes API for the MetaServers of edge nodes."""
