"""Fakes of what has to be rented, shipped to users."""
