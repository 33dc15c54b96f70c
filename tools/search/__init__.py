"""The search for an architecture by what it costs on the devices: `python -m tools.search`.

Every candidate is built with random weights, compiled for every target in int8 and fp32, and timed in turns with all
others. Its accuracy needs a training, which takes hours instead of minutes.
"""
