"""CloudStream: the cloud's end of the tunnels, and the kubelet that the API server finds behind each node."""
