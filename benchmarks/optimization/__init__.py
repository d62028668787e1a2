"""Quality per evaluation: optimizers over problems and seeds, one JSON line a run."""
