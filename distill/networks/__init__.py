"""Networks that student families are built from."""
