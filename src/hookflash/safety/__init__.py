"""What must not come in, what must not go out."""
