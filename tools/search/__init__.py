"""The search for an architecture by what it costs on the devices: `python -m tools.search`.

Every candidate is built with random weights, compiled for every target in int8 and fp32, and timed in turns with all
others. What it is worth is found out by training it, which is another matter and takes hours instead of minutes.
"""
