"""Segment Anything (Kirillov et al. 2023, arXiv 2304.02643) as teachers use it: see teachers/sam.py."""
