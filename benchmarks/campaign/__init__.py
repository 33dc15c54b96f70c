"""Runs over several artefacts: here, over a matrix of them, and on another device."""
