"""Controllers of KubeEdge's own kinds (KubeEdge `cloud/pkg/controllermanager`)."""
