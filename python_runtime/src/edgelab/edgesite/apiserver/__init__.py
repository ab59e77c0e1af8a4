"""A Kubernetes API server: types, registry, authentication, authorization, HTTP."""
