"""The composition: speech encoder, adapter, language blocks and their objectives."""
