"""CRI v1 messages, generated from runtime.proto."""
