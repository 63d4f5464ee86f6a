"""What is remembered of a contact: identities, traits, observations, summaries."""

from hookflash.db.migrations.upgrade import execute

revision = "0006"
down_revision = "0005"

SQL = """
"""


def upgrade() -> None:
    execute(SQL)
