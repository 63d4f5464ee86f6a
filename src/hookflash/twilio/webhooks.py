"""How patiently Twilio asks our addresses; see "Webhook connection overrides" in its documentation."""

# Five more tries after any failure; by default Twilio tries once more, and only when it could not connect. A fragment is
# neither sent nor signed. Only for what may be asked twice.
INSISTENT = "#rc=5&rp=all"
