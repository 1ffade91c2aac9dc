"""Corpora: from what is published to Kaldi-style directories."""
