"""One telephone call as sound: what is heard, when it is our turn, what is played, and what of it was heard."""
