"""The machine that measures: its processor, sensors, limits, and others reached by ssh."""
