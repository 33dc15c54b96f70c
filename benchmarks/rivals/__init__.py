"""Other people's networks, timed in turns with ours."""
