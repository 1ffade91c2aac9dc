"""Speech encoders and their weights."""
