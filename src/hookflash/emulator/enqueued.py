"""What `<Enqueue>` has put into a queue."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class EnqueuedTask:
    """What was put into a queue; `attributes` is the JSON text of the task, empty when there was none."""

    sid: str
    call_sid: str
    workflow_sid: str
    queue: str
    attributes: str
    priority: int
    at: datetime
