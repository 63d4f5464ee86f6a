"""May we speak to this person, now, about this?"""
