"""Jobs on nodes as data (KubeEdge API `operations.kubeedge.io/v1alpha2`)."""
