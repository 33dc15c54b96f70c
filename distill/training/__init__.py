"""The training itself: float, then quantisation-aware."""
