"""Figures and the offline page of reports."""
