"""The heart: messages, contacts, sessions, lanes, turns and the journal."""
