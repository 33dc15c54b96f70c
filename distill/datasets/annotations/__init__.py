"""The labels that laboratories have: where they are, in which format, and what their values mean.

layout.py pairs images with label files, formats.py reads one label file, instances.py says what its values mean.
"""
