"""Seconds per suggestion: the engine beside BoTorch and its peers, on one thread, one JSON line a measurement."""
