"""The data readers: one module or folder each, which offers a distill.datasets.Reader as READER."""
