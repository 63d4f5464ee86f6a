"""Hookflash: an AI assistant on Twilio phone numbers, answered from a company's own documents."""

__version__ = "0.1.0"
