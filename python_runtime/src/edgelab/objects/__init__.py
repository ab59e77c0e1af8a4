"""Kubernetes objects as plain data, without any I/O: errors, patches, selectors, quantities, owners."""
