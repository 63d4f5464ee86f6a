"""Twilio in a box."""
