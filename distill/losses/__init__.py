"""Losses, one file each, with the paper and the equation."""
