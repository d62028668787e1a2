"""Measurements: what the project claims, and how to make the figures again."""
