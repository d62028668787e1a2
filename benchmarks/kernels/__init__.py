"""Speed of the operations in gpbo_kernels, each against what it replaces."""
