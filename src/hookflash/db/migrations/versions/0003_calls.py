"""Calls: admitted once, by a token that opens their socket, with their measures, costs and recordings."""

from hookflash.db.migrations.upgrade import execute

revision = "0003"
down_revision = "0002"

SQL = """
create table calls (
  id              text primary key,
  account_id      text not null references accounts on delete cascade,
  integration_id  text not null references integrations on delete cascade,
  contact_id      text not null references contacts on delete cascade deferrable initially deferred,
  session_id      text references sessions on delete set null deferrable initially deferred,
  call_sid        text not null,
  direction       text not null check (direction in ('in', 'out')),
  way             text not null,
  address         text not null,
  sender          text not null,
  state           text not null,                 -- queued, admitted, live, ended, refused
  token_hash      bytea,                         -- opens the call's socket, once
  why             text,
  answered_by     text,
  purpose         text,
  summary         text,
  parts           jsonb not null default '{}',   -- cost in micro-dollars by part: telephony, stt, llm, tts
  measures        jsonb not null default '{}',
  recording_sid   text,
  recording       jsonb,
  started_at      timestamptz not null,
  ended_at        timestamptz,
  updated_at      timestamptz not null default now()
);
create unique index calls_by_sid on calls (account_id, call_sid);
create index calls_by_account on calls (account_id, id);
create index calls_by_contact on calls (contact_id, started_at desc);
create index calls_live on calls (account_id, address) where state in ('queued', 'admitted', 'live');
alter table calls enable row level security;
create policy one_account on calls to hookflash_app using (account_id = current_account())
  with check (account_id = current_account());
grant select, insert, update, delete on calls to hookflash_app;
"""


def upgrade() -> None:
    """Run the SQL above."""
    execute(SQL)
