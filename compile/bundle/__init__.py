"""What an artefact carries besides its payload: card, description, server folders, signature."""
