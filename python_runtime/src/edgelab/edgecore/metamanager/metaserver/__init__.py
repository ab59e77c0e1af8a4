"""MetaServer: the Kubernetes API on the node, for programs that shall work with and without the cloud."""
