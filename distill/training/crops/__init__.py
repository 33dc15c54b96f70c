"""Crops of labelled images: what is random of them, cutting them, and the maps that a student learns."""
