"""The commands of `python -m compile`."""
