"""A person takes over."""
