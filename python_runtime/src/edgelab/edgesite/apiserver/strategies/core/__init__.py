"""Kinds of the core group (`pkg/apis/core/validation`, `pkg/registry/core`)."""
