"""What ComSL is compared with: Whisper and the cascade."""
