"""Adapters: other tools ask, the engine decides."""
