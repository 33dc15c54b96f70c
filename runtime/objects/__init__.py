"""From probability maps to objects: labels, measures, outlines, files, and objects of tiles."""
