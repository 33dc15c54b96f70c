"""One file per format: it opens a file and gives its scenes. The library behind a format is imported on call.

Each offers `open_scenes(file, name)`; `file` is a path, or an open binary file of something inside a zip.
"""
