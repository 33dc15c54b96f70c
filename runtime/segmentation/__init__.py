"""From a frame to its segmentation: scale, maps, and the result with its labels and objects."""
