"""ComSL: a composite speech-language model for speech-to-text translation."""
