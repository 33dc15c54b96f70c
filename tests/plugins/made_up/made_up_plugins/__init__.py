"""A made-up distribution with a plug-in of every kind: what another team would install beside edgescope."""
