"""`python -m tools.adversarial`: spoilt files, kills, full disks and hostile links, and what becomes of them.

`bench.py` runs tries of a kind in child processes; `damage.py` spoils bytes, JSON and text; each file of `kinds/` has
the kinds of one sort as KINDS. A try is repeated by its kind, seed and number.
"""
