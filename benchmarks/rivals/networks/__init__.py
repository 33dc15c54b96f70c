"""The networks that people would use in place of ours, one file each; see benchmarks/rivals/network.py."""
