"""Web pages as knowledge: what was crawled, when, and what the server said of it."""

from hookflash.db.migrations.upgrade import execute

revision = "0005"
down_revision = "0004"

SQL = """
"""


def upgrade() -> None:
    execute(SQL)
