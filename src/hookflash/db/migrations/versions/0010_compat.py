"""What the wire formats of others need kept."""

from hookflash.db.migrations.upgrade import execute

revision = "0010"
down_revision = "0009"

SQL = """
"""


def upgrade() -> None:
    execute(SQL)
