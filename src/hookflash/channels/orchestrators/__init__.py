"""Calls that another service conducts (Vapi, Retell, Bland, ...): its telephony, ears and voice, our assistant."""
