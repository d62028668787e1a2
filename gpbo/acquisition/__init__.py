"""Acquisition functions: the engine's closed form, and real BoTorch objects on the fitted model."""
