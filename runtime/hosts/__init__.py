"""One file for each program that edgescope runs in; each imports its host when it is called."""
