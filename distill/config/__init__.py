"""The configuration of a training: its sections with their limits, and its TOML file.

Nothing here knows a plug-in, and nothing imports torch; see distill.settings for both together.
"""
