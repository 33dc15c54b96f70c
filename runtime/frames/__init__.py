"""The way of a frame before and behind the network: normalisation, tiles, scale, flags."""
