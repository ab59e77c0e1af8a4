"""Jobs on nodes: told to the nodes, and what they report (KubeEdge `cloud/pkg/taskmanager`)."""
