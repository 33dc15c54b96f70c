"""What int8 costs in accuracy, where, and what may be lost."""
