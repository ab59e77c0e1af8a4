"""The edge nodes' door: joining, certificates, sessions, reliable delivery."""
