"""The Kubernetes API from the client's side: kubeconfig, requests, list and watch."""
