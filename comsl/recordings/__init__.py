"""Recordings of any length: the speech in them found, cut into pieces, and given to a system."""
