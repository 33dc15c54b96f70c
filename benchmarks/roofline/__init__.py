"""What share of the machine's peak an artefact reaches."""
