"""Scores, reports, plots, studies."""
