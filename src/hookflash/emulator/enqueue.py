"""`<Enqueue>`: a call waits in a queue; with a workflow, as a task of TaskRouter."""

from hookflash.emulator.enqueued import EnqueuedTask
from hookflash.emulator.leg import Ask, Leg, Program
from hookflash.emulator.voice_twiml import Verb


async def enqueue(leg: Leg, verb: Verb) -> Program | None:
    """Wait until somebody takes the call from the queue or the caller hangs up; the action learns which."""
    cloud = leg.desk.cloud
    task = next(iter(verb.all("Task")), None)
    entry = EnqueuedTask(
        sid=cloud.new_sid("WT" if verb.get("workflowSid") else "QU"),
        call_sid=leg.call.sid,
        workflow_sid=verb.get("workflowSid"),
        queue="" if verb.get("workflowSid") else verb.text,
        attributes=task.text if task else "",
        priority=round(task.number("priority", 0)) if task else 0,
        at=cloud.clock.now(),
    )
    cloud.tasks.append(entry)
    cloud.events.add("task", entry.at, {"sid": entry.sid, "call_sid": entry.call_sid, "attributes": entry.attributes})
    leg.note("enqueue", sid=entry.sid, workflow_sid=entry.workflow_sid, queue=entry.queue, attributes=entry.attributes)
    since = leg.now()
    url, method = leg.address(verb.get("action")), verb.get("method", "POST").upper()

    def report(result: str) -> Ask | None:
        if not verb.get("action"):
            return None
        waited = str(round(leg.now() - since))
        return Ask(url, method, {"QueueResult": result, "QueueSid": entry.sid, "QueueTime": waited})

    leg.farewell = lambda: report("hangup")
    leg.left_queue = None
    while leg.left_queue is None:
        await leg.tick()
    return report(leg.left_queue)
