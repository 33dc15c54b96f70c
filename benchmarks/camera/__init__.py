"""The runtime beside a camera."""
