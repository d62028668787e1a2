"""Large studies and large batches: time and peak memory of one ask, with the limits beside the figures."""
