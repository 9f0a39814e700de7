"""Logging, metrics, tracing and the redaction of secrets."""
