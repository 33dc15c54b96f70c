"""Measure the runtime with a running camera."""
