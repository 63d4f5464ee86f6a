"""All routes of other people's wire formats, in the order in which they are tried."""

from hookflash.compat.assistant_routes import assistants
from hookflash.compat.door_routes import nowhere
from hookflash.compat.knowledge_routes import UPLOADS, of_assistants, of_knowledge, uploads
from hookflash.compat.message_routes import talk
from hookflash.compat.tool_routes import tools

ROUTERS = (assistants, tools, of_assistants(), of_knowledge(), uploads, talk, nowhere)

__all__ = ["ROUTERS", "UPLOADS"]
