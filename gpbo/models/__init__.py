"""Exact Gaussian processes: specification, closed-form fit, posteriors that grow, and the bridge to BoTorch."""
