"""Frames that are measured on, and pictures of the results."""
