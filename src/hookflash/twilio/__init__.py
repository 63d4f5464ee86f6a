"""Everything Twilio-shaped."""
