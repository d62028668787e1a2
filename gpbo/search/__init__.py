"""Maximising an acquisition function: starts, gradient search, discrete moves, greedy batches."""
