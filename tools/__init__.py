"""What only the developers of this project run; in no wheel."""
