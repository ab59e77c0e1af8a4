"""What controllers and scheduler are built from: work queues, views of the cluster, events, pods."""
