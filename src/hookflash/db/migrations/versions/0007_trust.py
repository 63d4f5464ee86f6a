"""Budgets, and what the checks found in what came in and went out."""

from hookflash.db.migrations.upgrade import execute

revision = "0007"
down_revision = "0006"

SQL = """
"""


def upgrade() -> None:
    execute(SQL)
