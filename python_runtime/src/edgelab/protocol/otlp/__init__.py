"""OTLP metrics (opentelemetry-proto 1.x, `metrics/v1`): the messages and fields that a gauge needs."""
