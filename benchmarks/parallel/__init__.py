"""Many workers: trials per second on one stored study, and how busy a large pool is kept."""
