"""The physics of the synthetic fields: cells first, then the light they give, then what a camera makes of it.

scene.py    what a field is like: density, sizes, stain, optics, camera (drawn per field)
cells.py    nuclei and cells, exactly outlined
light.py    expected photons of both stains, through the optics
camera.py   photons -> uint16
noise.py    smooth random fields
"""

from .field import Field, Tissue, render

__all__ = ["Field", "Tissue", "render"]
