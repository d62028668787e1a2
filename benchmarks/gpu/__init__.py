"""Time and memory on a GPU: what the card can do, and how near fits and asks come to it, beside stock BoTorch."""
