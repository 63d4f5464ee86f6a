"""Tools: what an assistant can do, by which address, under whose authority, and what became of each call of one."""

from hookflash.db.migrations.upgrade import execute

revision = "0004"
down_revision = "0003"

SQL = """
create table tools (
  id              text primary key,
  account_id      text not null references accounts on delete cascade,
  name            text not null,
  description     text not null,
  schema          jsonb not null,
  notation        text,                          -- the input as its owner wrote it, if not as JSON Schema
  kind            text not null check (kind in ('http', 'mcp', 'python', 'builtin')),
  config          jsonb not null default '{}',
  secret          bytea,                         -- sealed JSON: what authenticates us to it
  policy          jsonb not null default '{}',
  final_response  boolean not null default false,
  enabled         boolean not null default true,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  unique (account_id, name)
);
create index tools_by_account on tools (account_id, id);

create table tool_calls (
  account_id   text not null references accounts on delete cascade,
  seq          bigint generated always as identity,
  key          text not null,                    -- the same for the same call of a turn that is thought again
  turn_id      text not null,
  contact_id   text references contacts on delete cascade,
  tool_id      text not null,
  name         text not null,
  arguments    jsonb not null,                   -- without numbers of cards
  outcome      text not null,                    -- answered, refused, failed
  answer       text not null,
  ms           real not null,
  at           timestamptz not null,
  primary key (account_id, key)
);
create index tool_calls_by_turn on tool_calls (account_id, turn_id);
create index tool_calls_by_tool on tool_calls (account_id, tool_id, seq);
create index tool_calls_by_contact on tool_calls (contact_id);

do $$ declare t text; begin
  foreach t in array array['tools', 'tool_calls'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy one_account on %I to hookflash_app using (account_id = current_account())'
                   ' with check (account_id = current_account())', t);
    execute format('grant select, insert, update, delete on %I to hookflash_app', t);
  end loop;
end $$;
"""


def upgrade() -> None:
    """Run the SQL above."""
    execute(SQL)
