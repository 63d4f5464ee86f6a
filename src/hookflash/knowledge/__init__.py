"""What the assistant may rely on."""
