"""Measure artefacts on this machine: what they cost (time, memory, bytes) and what they are worth (overlap).

Every artefact is measured in a fresh process of its own, nothing is claimed that was not measured, and the
report keeps every sample, so that reports of several devices can be put side by side.
"""
