"""A student as a flat graph, and the int8 scheme in it as fake quantisation."""
