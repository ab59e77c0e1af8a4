"""Device twins out of the Kubernetes API into a time-series database."""
