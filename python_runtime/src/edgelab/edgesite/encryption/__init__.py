"""Encryption at rest: Kubernetes' EncryptionConfiguration, between the store and its disk.

Loaded only when a configuration is given. Prefixes, keys and ciphers are those of kube-apiserver
(`apiserver/pkg/storage/value/encrypt`), so that its documentation holds here as well.
"""
