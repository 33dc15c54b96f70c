"""What teachers say: asked once and stored, or crop by crop."""
