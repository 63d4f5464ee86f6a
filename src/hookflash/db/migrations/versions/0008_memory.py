"""What is remembered of a contact: traits, what was observed in sessions, their summaries; and who a contact is elsewhere."""

from hookflash.db.migrations.upgrade import execute

revision = "0008"
down_revision = "0007"

SQL = """
alter table contacts add column remembered boolean not null default false;  -- whether the tables below have anything
alter table contacts add column trait_times jsonb not null default '{}';    -- since when each trait has its value

create function note_trait_times() returns trigger language plpgsql as $$
begin
  select coalesce(jsonb_object_agg(t.key, case when old.traits -> t.key = t.value
           then coalesce(old.trait_times -> t.key, to_jsonb(old.created_at)) else to_jsonb(now()) end), '{}')
    into new.trait_times from jsonb_each(new.traits) t;
  return new;
end $$;
create trigger contacts_trait_times before update of traits on contacts for each row
  when (old.traits is distinct from new.traits and old.trait_times = new.trait_times) execute function note_trait_times();

create table contact_identities (                -- besides the addresses: email:..., user_id:...
  account_id  text not null references accounts on delete cascade,
  identity    text not null,
  contact_id  text not null references contacts on delete cascade,
  proof       text not null,                     -- how we know: api, verification ...
  at          timestamptz not null,
  primary key (account_id, identity)
);
create index contact_identities_by_contact on contact_identities (contact_id);

create table contact_traits (                    -- those that the company did not set itself (these: contacts.traits)
  account_id  text not null references accounts on delete cascade,
  contact_id  text not null references contacts on delete cascade,
  name        text not null,
  source      text not null check (source in ('conversation', 'segment', 'verification')),
  value       jsonb not null,
  session_id  text references sessions on delete set null,
  at          timestamptz not null,
  primary key (contact_id, name, source)
);

create table memories (
  id          text primary key,
  account_id  text not null references accounts on delete cascade,
  contact_id  text not null references contacts on delete cascade,
  kind        text not null check (kind in ('observation', 'summary')),
  session_id  text references sessions on delete set null,
  turn_id     text,
  source      text not null,                     -- conversation, api
  text        text not null,
  model       text,                              -- whose vector it is
  vector      halfvec,
  at          timestamptz not null,
  updated_at  timestamptz not null
);
create index memories_by_contact on memories (contact_id, at desc);
create index memories_by_account on memories (account_id, id);
create unique index memories_one_summary on memories (session_id) where kind = 'summary';

-- Up to when a session's turns went into memory. Those that are there already are left as they are.
alter table sessions add column remembered_to timestamptz default '9999-12-31T00:00:00Z';
alter table sessions alter column remembered_to drop default;
create index sessions_to_remember on sessions (last_at) where remembered_to is null or remembered_to < last_at;

do $$
declare t text;
begin
  foreach t in array array['contact_identities', 'contact_traits', 'memories'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy one_account on %I to hookflash_app using (account_id = current_account())'
                   ' with check (account_id = current_account())', t);
    execute format('grant select, insert, update, delete on %I to hookflash_app', t);
  end loop;
end $$;

-- Sessions with something new in them that are over: they were quiet for long enough, or a call of theirs has ended.
create function sessions_to_remember(at timestamptz, most integer) returns table (account_id text, session_id text)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select s.account_id, s.id from public.sessions s
    where (s.remembered_to is null or s.remembered_to < s.last_at)
      and (s.last_at + make_interval(secs => coalesce((s.settings ->> 'session_duration_ms')::float8 / 1000, 1800))
             < sessions_to_remember.at
           or exists (select from public.calls c where c.session_id = s.id and c.ended_at >= s.last_at))
      and not exists (select from public.calls c where c.session_id = s.id and c.state = 'live'
                        and c.started_at > sessions_to_remember.at - interval '4 hours')
    order by s.last_at limit sessions_to_remember.most;
  end;
revoke all on function sessions_to_remember(timestamptz, integer) from public;
grant execute on function sessions_to_remember(timestamptz, integer) to hookflash_app;
"""


def upgrade() -> None:
    """Run the SQL above."""
    execute(SQL)
