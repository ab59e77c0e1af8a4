"""Node groups and the applications made for them, as data (KubeEdge API `apps.kubeedge.io/v1alpha1`)."""
