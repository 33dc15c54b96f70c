"""A trained student on disk: weights, spec, scheme, lineage, card."""
