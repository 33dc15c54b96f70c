"""The metrics: one file each; its name is its name. See runtime.metrics for the contract."""
