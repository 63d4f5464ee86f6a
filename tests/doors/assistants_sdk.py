"""A program of a customer of Twilio's: it drives every operation of two APIs with Twilio's own SDK, and tells what came.

It runs in an environment of its own, in which that SDK still has these APIs. Only the host of the requests is another.
"""

# mypy: ignore-errors
# The SDK of the environment that is checked is another one.

import json
import os
import sys
from typing import Any

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client
from twilio.rest.assistants.v1.assistant import AssistantContext, AssistantList
from twilio.rest.assistants.v1.assistant.feedback import FeedbackList
from twilio.rest.assistants.v1.assistant.message import MessageList
from twilio.rest.assistants.v1.knowledge import KnowledgeContext, KnowledgeList
from twilio.rest.assistants.v1.tool import ToolContext, ToolList
from twilio.rest.knowledge.v1.knowledge import KnowledgeContext as KnowledgeContext2
from twilio.rest.knowledge.v1.knowledge import KnowledgeList as KnowledgeList2

Create = AssistantList.AssistantsV1ServiceCreateAssistantRequest
CustomerAi = AssistantList.AssistantsV1ServiceCustomerAi
Update = AssistantContext.AssistantsV1ServiceUpdateAssistantRequest
CreateKnowledge = KnowledgeList.AssistantsV1ServiceCreateKnowledgeRequest
KnowledgePolicy = KnowledgeList.AssistantsV1ServiceCreatePolicyRequest
UpdateKnowledge = KnowledgeContext.AssistantsV1ServiceUpdateKnowledgeRequest
CreateTool = ToolList.AssistantsV1ServiceCreateToolRequest
Policy = ToolList.AssistantsV1ServiceCreatePolicyRequest
UpdateTool = ToolContext.AssistantsV1ServiceUpdateToolRequest
Say = MessageList.AssistantsV1ServiceAssistantSendMessageRequest
Feedback = FeedbackList.AssistantsV1ServiceCreateFeedbackRequest

BASE = os.environ["BASE"]
HOSTS = {f"https://{name}.twilio.com": f"{BASE}/compat/twilio/{name}" for name in ("assistants", "knowledge")}


class Rewriting(TwilioHttpClient):
    """Sends what is meant for Twilio to us, and remembers what came back."""

    def __init__(self) -> None:
        super().__init__(timeout=30)
        self.seen: list[dict[str, Any]] = []

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        for theirs, ours in HOSTS.items():
            url = url.replace(theirs, ours)
        response = super().request(method, url, *args, **kwargs)
        self.seen.append({"method": method, "url": url, "status": response.status_code, "body": response.text or None})
        return response


http = Rewriting()
client = Client(os.environ["KEY_ID"], os.environ["KEY"], http_client=http)
told: dict[str, Any] = {}


def refused(what: Any) -> dict[str, Any]:
    """How it is refused."""
    try:
        what()
    except TwilioRestException as error:
        return {"status": error.status, "code": error.code, "message": error.msg}
    raise AssertionError("it was not refused")


def attach(what: Any) -> None:
    """The answer is 204 by the description, and this SDK wants to read what is not there."""
    try:
        what.create()
    except json.JSONDecodeError:
        assert http.seen[-1]["status"] == 204


def main() -> None:
    v1 = client.assistants.v1
    engines = CustomerAi({"personalization_engine_enabled": True, "perception_engine_enabled": False})
    made = v1.assistants.create(
        Create({"name": "Front desk", "owner": "Acme", "personality_prompt": "Be brief.", "customer_ai": engines})
    )
    told["assistant"] = {
        "owner": made.owner,
        "personality_prompt": made.personality_prompt,
        "customer_ai": made.customer_ai,
        "id": made.id,
    }
    for name in ("Second", "Third"):
        v1.assistants.create(Create({"name": name}))
    told["again"] = refused(lambda: v1.assistants.create(Create({"name": "Second"})))
    told["names"] = [each.name for each in v1.assistants.list(page_size=2)]
    told["owner"] = v1.assistants(made.id).update(Update({"owner": "Acme Ltd"})).owner

    # Knowledge
    text = v1.knowledge.create(
        CreateKnowledge(
            {
                "name": "Hours",
                "type": "Text",
                "assistant_id": made.id,
                "knowledge_source_details": {"content": "We open at nine and close at six."},
                "policy": KnowledgePolicy({"name": "in chat", "policy_details": {"channels": ["web"]}}),
            }
        )
    )
    web = v1.knowledge.create(
        CreateKnowledge(
            {"name": "Site", "type": "Web", "knowledge_source_details": {"source": "https://shop.invalid/help"}}
        )
    )
    attach(v1.assistants(made.id).assistants_knowledge(web.id))
    v1.assistants(made.id).assistants_knowledge(web.id).delete()
    told["detached again"] = refused(lambda: v1.assistants(made.id).assistants_knowledge(web.id).delete())
    told["attached knowledge"] = [each.name for each in v1.assistants(made.id).assistants_knowledge.list()]
    told["filtered knowledge"] = [each.name for each in v1.knowledge.list(assistant_id=made.id)]
    told["knowledge"] = [each.type for each in v1.knowledge.list(page_size=1)]
    changed = v1.knowledge(text.id).update(
        UpdateKnowledge({"knowledge_source_details": {"content": "We open at ten and close at six."}})
    )
    told["details"] = changed.knowledge_source_details
    while (status := v1.knowledge(text.id).knowledge_status().fetch()).status not in ("COMPLETED", "FAILED"):
        pass
    told["status"] = status.status
    told["chunks"] = [each.content for each in v1.knowledge(text.id).chunks.list(page_size=1)]
    told["fetched"] = v1.knowledge(text.id).fetch().name

    # Tools
    meta = {
        "url": "https://erp.example.com/orders",
        "method": "POST",
        "input_schema": "export type Data = { id: string };",
    }
    tool = v1.tools.create(
        CreateTool(
            {
                "name": "Order Status",
                "description": "Where an order is.",
                "type": "WEBHOOK",
                "enabled": True,
                "meta": {**meta, "team": "shop"},
                "assistant_id": made.id,
                "policy": Policy({"name": "known", "type": "access", "policy_details": {"verified": True}}),
            }
        )
    )
    told["tool"] = {"name": tool.name, "meta": tool.meta, "type": tool.type, "requires_auth": tool.requires_auth}
    for number in range(5):
        spare = v1.tools.create(
            CreateTool({"name": f"spare_{number}", "type": "WEBHOOK", "enabled": False, "meta": meta})
        )
        if number < 4:
            attach(v1.assistants(made.id).assistants_tools(spare.id))
    told["sixth"] = refused(lambda: attach(v1.assistants(made.id).assistants_tools(spare.id)))
    v1.assistants(made.id).assistants_tools(tool.id).delete()
    attach(v1.assistants(made.id).assistants_tools(tool.id))
    told["attached tools"] = [each.name for each in v1.assistants(made.id).assistants_tools.list()]
    told["tools"] = len(v1.tools.list(page_size=4))
    told["off"] = v1.tools(tool.id).update(UpdateTool({"enabled": False})).enabled
    told["wrong tool"] = refused(lambda: v1.tools.create(CreateTool({"name": "x", "type": "FAX", "enabled": True})))
    told["policies of tool"] = v1.tools(tool.id).fetch().policies
    told["policies"] = [each.policy_details for each in v1.policies.list()]
    told["policies of knowledge"] = [each.name for each in v1.policies.list(knowledge_id=text.id)]
    whole = v1.assistants(made.id).fetch()
    told["whole"] = [len(whole.tools), [each["name"] for each in whole.knowledge]]

    # Talk
    said = []
    for session, words in (("one", "Hello"), ("one", "And again"), ("chat/two", "Who?")):
        said.append(
            v1.assistants(made.id).messages.create(
                Say({"identity": "user_id:jane", "session_id": session, "body": words})
            )
        )
    fresh = v1.assistants(made.id).messages.create(
        Say({"identity": "phone:+15550111222", "body": "No name", "mode": "voice"})
    )
    told["said"] = [[each.status, each.session_id, each.body] for each in said]
    told["fresh"] = [fresh.status, fresh.session_id]
    told["sessions"] = [[each.id, each.identity, each.verified] for each in v1.sessions.list(page_size=1)]
    told["session"] = v1.sessions("chat/two").fetch().identity
    history = v1.sessions("one").messages.list(page_size=3)
    told["history"] = [[each.role, each.content["content"]] for each in history]
    v1.assistants(made.id).feedbacks.create(
        Feedback({"session_id": "one", "message_id": history[1].id, "score": 0.75, "text": "Good."})
    )
    told["feedback"] = [[each.score, each.text, each.session_id] for each in v1.assistants(made.id).feedbacks.list()]

    # The same knowledge, by the API of its own
    k1 = client.knowledge.v1.knowledge
    told["the same"] = [each.name for each in k1.list(page_size=1)]
    third = k1.create(
        KnowledgeList2.KnowledgeV1ServiceCreateKnowledgeRequest(
            {"name": "Third", "type": "Text", "knowledge_source_details": {"content": "Something else."}}
        )
    )
    k1(third.id).update(KnowledgeContext2.KnowledgeV1ServiceUpdateKnowledgeRequest({"description": "Other"}))
    told["described"] = k1(third.id).fetch().description
    k1(third.id).knowledge_status().fetch()
    k1(third.id).chunks.list()
    k1(third.id).delete()

    v1.tools(tool.id).delete()
    v1.knowledge(text.id).delete()
    v1.assistants(made.id).delete()
    told["gone"] = refused(lambda: v1.assistants(made.id).fetch())
    told["stranger"] = refused(
        lambda: Client("ACnobody", "wrong", http_client=http).assistants.v1.assistants(made.id).fetch()
    )


main()
json.dump({"told": told, "seen": http.seen}, sys.stdout)
