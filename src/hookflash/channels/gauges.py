"""What the text line measures of itself, for /metrics."""

from prometheus_client import Counter, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 20, 40, 80)

ANSWERED = Histogram(
    "hookflash_answer_seconds", "From a message's arrival to its answer being stored", ["kind"], buckets=_SECONDS
)
POSTED = Histogram(
    "hookflash_post_seconds", "From an answer being marked for sending to Twilio's acceptance", buckets=_SECONDS
)
DEGRADED = Counter("hookflash_degraded", "Fallbacks that answers had to take, by what failed", ["part"])
LEFT = Counter("hookflash_sends", "What became of requests to send a message", ["outcome"])
