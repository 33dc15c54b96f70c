"""The artefact as a folder or zip: manifest, payload, probes, checksums, signature."""
