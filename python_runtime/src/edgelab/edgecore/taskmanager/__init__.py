"""Jobs that the cloud gives this node: images, configuration, versions (KubeEdge `edge/pkg/taskmanager`)."""
