"""One file per way of reaching us."""
