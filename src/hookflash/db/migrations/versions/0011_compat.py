"""Other people's names for what we have: what of theirs we have no field for, their names of sessions, answers to post."""

from hookflash.db.migrations.upgrade import execute

revision = "0011"
down_revision = "0010"

SQL = """
create table compat_kept (                       -- what was put in under other people's names, and must come out again
  id            text primary key,                -- of the assistant, tool or source
  account_id    text not null references accounts on delete cascade,
  assistant_id  text references assistants on delete cascade,
  tool_id       text references tools on delete cascade,
  source_id     text references sources on delete cascade,
  origin        text,                            -- the address that it was imported from
  kept          jsonb not null default '{}',
  check (num_nonnulls(assistant_id, tool_id, source_id) = 1)
);
create unique index compat_kept_by_origin on compat_kept (account_id, origin) where origin is not null;
create index compat_kept_by_assistant on compat_kept (assistant_id) where assistant_id is not null;
create index compat_kept_by_tool on compat_kept (tool_id) where tool_id is not null;
create index compat_kept_by_source on compat_kept (source_id) where source_id is not null;

create table compat_sessions (                   -- sessions that a caller has named
  account_id  text not null references accounts on delete cascade,
  name        text not null,
  session_id  text not null unique references sessions on delete cascade deferrable initially deferred,
  contact_id  text not null references contacts on delete cascade deferrable initially deferred,
  identity    text not null,
  primary key (account_id, name)
);
create index compat_sessions_by_contact on compat_sessions (contact_id);

create table compat_webhooks (                   -- where the answer to a message is to be posted
  message_id  text primary key references messages on delete cascade deferrable initially deferred,
  account_id  text not null references accounts on delete cascade,
  contact_id  text not null references contacts on delete cascade deferrable initially deferred,
  url         text not null,
  claimed_at  timestamptz,                       -- when somebody began to post it
  posted_at   timestamptz,
  why         text                               -- why it could not be posted
);
create index compat_webhooks_by_contact on compat_webhooks (contact_id);

create index messages_of_the_api on messages (account_id, at) where via = 'assistants';

do $$
declare t text;
begin
  foreach t in array array['compat_kept', 'compat_sessions', 'compat_webhooks'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy one_account on %I to hookflash_app using (account_id = current_account())'
                   ' with check (account_id = current_account())', t);
    execute format('grant select, insert, update, delete on %I to hookflash_app', t);
  end loop;
end $$;

-- Those that Twilio reaches: what comes through the API has no number.
create or replace function active_integrations() returns table (id text, account_id text)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select i.id, i.account_id from public.integrations i where not i.disabled and i.sender not like 'web:%' order by i.id;
  end;
"""


def upgrade() -> None:
    execute(SQL)
