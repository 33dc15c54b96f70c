"""Answers from reports: choose a device, compare two states, keep up with a camera."""
