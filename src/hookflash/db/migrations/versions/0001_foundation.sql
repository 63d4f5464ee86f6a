-- Every table carries account_id and shows a transaction the rows of one account only: the one named by
-- hookflash.account_id. The application runs as hookflash_app, which owns nothing and cannot bypass that. What must
-- look across accounts (whose webhook is this? which lane is due?) is a function below that gives back ids only.

create extension if not exists vector;

do $$ begin
  if not exists (select from pg_roles where rolname = 'hookflash_app') then
    create role hookflash_app nologin nobypassrls;
  end if;
  execute format('grant hookflash_app to %I', current_user);
  execute format('grant usage on schema public to hookflash_app');
end $$;

create function current_account() returns text language sql stable parallel safe
  return nullif(current_setting('hookflash.account_id', true), '');

-- Workspace

create table accounts (
  account_id  text primary key,
  name        text not null,
  created_at  timestamptz not null default now()
);

create table api_keys (
  id           text primary key,
  account_id   text not null references accounts on delete cascade,
  name         text not null,
  hash         bytea not null unique,
  scopes       text[] not null,
  created_at   timestamptz not null default now(),
  revoked_at   timestamptz
);

-- Who answers

create table assistants (
  id          text primary key,
  account_id  text not null references accounts on delete cascade,
  name        text not null,
  revision    integer not null default 1,
  config      jsonb not null,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  unique (account_id, name)
);

create table assistant_revisions (
  account_id    text not null references accounts on delete cascade,
  assistant_id  text not null references assistants on delete cascade,
  revision      integer not null,
  config        jsonb not null,
  created_at    timestamptz not null default now(),
  primary key (assistant_id, revision)
);

create table integrations (
  id                     text primary key,
  account_id             text not null references accounts on delete cascade,
  name                   text not null,
  assistant_id           text not null references assistants on delete restrict,
  sender                 text not null,          -- +E.164, whatsapp:+E.164 or a Messaging Service (MG...)
  messaging_service_sid  text,
  twilio_account_sid     text,
  credentials            bytea,                  -- sealed JSON: auth tokens, shared keys, API key
  config                 jsonb not null default '{}',
  meta                   jsonb not null default '{}',
  disabled               boolean not null default false,
  stopped_code           integer,                -- Twilio refuses this sender until the operator acts
  stopped_why            text,
  backfilled_to          timestamptz,
  created_at             timestamptz not null default now(),
  updated_at             timestamptz not null default now(),
  unique (account_id, sender)
);

-- People

create table contacts (
  id            text primary key,
  account_id    text not null references accounts on delete cascade,
  name          text,
  language      text,
  traits        jsonb not null default '{}',
  created_at    timestamptz not null default now(),
  last_seen_at  timestamptz not null default now()
);
create index contacts_by_account on contacts (account_id, id);

create table contact_addresses (
  account_id        text not null references accounts on delete cascade,
  address           text not null,
  contact_id        text not null references contacts on delete cascade deferrable initially deferred,
  unreachable_code  integer,
  primary key (account_id, address)
);
create index contact_addresses_by_contact on contact_addresses (contact_id);

create table opt_outs (
  account_id  text not null references accounts on delete cascade,
  address     text not null,
  sender      text not null,
  opted_out   boolean not null,
  via         text not null,                     -- keyword, OptOutType, error 21610 ...
  since       timestamptz not null,
  primary key (account_id, address, sender)
);

create table sessions (
  id            text primary key,
  account_id    text not null references accounts on delete cascade,
  contact_id    text not null references contacts on delete cascade,
  assistant_id  text not null references assistants on delete cascade,
  revision      integer not null,
  settings      jsonb not null default '{}',     -- the integration's settings that it began with
  started_at    timestamptz not null,
  last_at       timestamptz not null
);
create index sessions_by_contact on sessions (contact_id, assistant_id, last_at desc);
create index sessions_by_account on sessions (account_id, id);

-- Talk. A message to the person is its own outbox row: `state` says how far it got.

create table messages (
  id              text primary key,
  account_id      text not null references accounts on delete cascade,
  seq             bigint generated always as identity,
  contact_id      text not null references contacts on delete cascade deferrable initially deferred,
  integration_id  text not null references integrations on delete cascade,
  session_id      text references sessions on delete set null deferrable initially deferred,
  turn_id         text,
  direction       text not null check (direction in ('in', 'out')),
  kind            text not null default 'text',  -- in: text. out: answer, acknowledgement, notice, agent
  address         text not null,                 -- theirs
  sender          text not null,                 -- ours
  body            text not null,
  media           jsonb not null default '[]',
  language        text,
  state           text not null,
  why             text,
  via             text not null default 'webhook',
  sid             text,
  raw             jsonb,
  in_reply_to     text,
  part            smallint not null default 0,
  attempts        smallint not null default 0,
  poster          integer,                       -- presence number of the process that is posting it
  posted_at       timestamptz,
  not_before      timestamptz,
  error_code      integer,
  error           text,
  segments        smallint,
  cost_micros     bigint not null default 0,
  at              timestamptz not null,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now()
);
create unique index messages_by_sid on messages (account_id, sid) where sid is not null;
create unique index messages_acknowledged_once on messages (in_reply_to) where kind = 'acknowledgement';
create index messages_by_contact on messages (contact_id, seq);
create index messages_by_account on messages (account_id, seq);
create index messages_unanswered on messages (contact_id, seq) where direction = 'in' and state = 'unanswered';
create index messages_leaving on messages (contact_id, seq) where direction = 'out' and state in ('waiting', 'posting');
create index messages_parked on messages (account_id, seq) where state = 'parked';

create table lanes (
  contact_id   text primary key references contacts on delete cascade deferrable initially deferred,
  account_id   text not null references accounts on delete cascade,
  due_at       timestamptz,
  worker       integer,                          -- presence number of the process that holds it
  lease_until  timestamptz,
  fence        bigint not null default 0,
  failures     smallint not null default 0
) with (fillfactor = 50);
create index lanes_due on lanes (due_at) where worker is null and due_at is not null;
create index lanes_held on lanes (worker) where worker is not null;

create table turns (
  id               text primary key,
  account_id       text not null references accounts on delete cascade,
  contact_id       text not null references contacts on delete cascade,
  session_id       text not null references sessions on delete cascade,
  said             text not null,
  question         text,
  answered         text not null,
  kind             text not null,                -- an ending's kind, or the verdict that stopped the turn
  confidence       real,
  model            text,
  prompt_revision  text,
  language         text,
  record           jsonb not null,               -- verdicts, sources, usage, stages, what was degraded
  cost_micros      bigint not null default 0,
  at               timestamptz not null
);
create index turns_by_session on turns (session_id, at desc);
create index turns_by_account on turns (account_id, id);

create table tickets (
  id          text primary key,
  account_id  text not null references accounts on delete cascade,
  contact_id  text not null references contacts on delete cascade,
  session_id  text references sessions on delete set null,
  turn_id     text,
  reason      text not null,
  summary     text not null,
  state       text not null default 'open' check (state in ('open', 'claimed', 'closed')),
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now()
);
create index tickets_by_account on tickets (account_id, id);
create index tickets_claimed on tickets (contact_id) where state = 'claimed';
create unique index tickets_one_open on tickets (contact_id) where state = 'open';

create table spend (
  account_id  text not null references accounts on delete cascade,
  day         date not null,
  address     text not null default '',          -- '' is the account's total, spread over shards so that nobody queues
  shard       smallint not null default 0,
  micros      bigint not null,
  primary key (account_id, day, address, shard)
) with (fillfactor = 50);

-- The journal: rows are only ever added; a seal chains those that were added since the last seal.

create table journal (
  id          bigint generated always as identity primary key,
  account_id  text not null references accounts,
  at          timestamptz not null,
  kind        text not null,
  subject     text not null,
  contact_id  text,
  body        text not null,
  hash        bytea not null
);
create index journal_by_account on journal (account_id, id);
create index journal_by_subject on journal (account_id, subject);

create table journal_unsealed (
  account_id  text not null,
  entry_id    bigint not null,
  hash        bytea not null,
  primary key (account_id, entry_id)
);

create table journal_seals (
  account_id  text not null references accounts,
  seq         bigint not null,
  at          timestamptz not null,
  entries     bytea not null,                    -- 40 bytes an entry: its id (big-endian) and its hash
  previous    bytea not null,
  hash        bytea not null,
  primary key (account_id, seq)
);

create function journal_note_unsealed() returns trigger language plpgsql as $$
begin
  insert into journal_unsealed (account_id, entry_id, hash) values (new.account_id, new.id, new.hash);
  return null;
end $$;
create trigger journal_unsealed after insert on journal for each row execute function journal_note_unsealed();

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the journal is append-only';
end $$;
create trigger journal_append_only before update or delete or truncate on journal
  for each statement execute function refuse_change();
create trigger journal_seals_append_only before update or delete or truncate on journal_seals
  for each statement execute function refuse_change();

-- Knowledge

create table sources (
  id               text primary key,
  account_id       text not null references accounts on delete cascade,
  name             text not null,
  description      text not null default '',
  kind             text not null check (kind in ('text', 'file')),
  embedding_model  text not null,                -- the one that searches use
  next_model       text,                         -- the one being prepared behind it
  version          bigint not null default 1,    -- grows with every change of what a search could find
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  unique (account_id, name)
);

create table documents (
  id            text primary key,
  account_id    text not null references accounts on delete cascade,
  source_id     text not null references sources on delete cascade,
  name          text not null,
  title         text not null default '',
  url           text,
  content_type  text not null,
  digest        text not null,
  size          bigint not null,
  language      text,
  status        text not null default 'QUEUED' check (status in ('QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED')),
  error         text,
  chunk_count   integer not null default 0,
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now(),
  unique (source_id, name)
);
create index documents_by_account on documents (account_id, id);

create table document_data (                     -- the bytes of a document until it is indexed
  document_id  text primary key references documents on delete cascade,
  account_id   text not null references accounts on delete cascade,
  data         bytea not null
);

create table chunks (
  id           bigint generated always as identity primary key,
  account_id   text not null references accounts on delete cascade,
  source_id    text not null references sources on delete cascade,
  document_id  text not null references documents on delete cascade,
  ordinal      integer not null,
  text         text not null,
  headings     text[] not null,
  place        text,
  digest       text not null,
  tokens       integer not null,
  terms        bytea not null                    -- hashed index terms with their frequencies
);
create index chunks_by_document on chunks (document_id, ordinal);
create index chunks_by_source on chunks (source_id, id);

create table embeddings (
  chunk_id    bigint not null references chunks on delete cascade,
  account_id  text not null references accounts on delete cascade,
  source_id   text not null,
  model       text not null,
  vector      halfvec not null,
  primary key (chunk_id, model)
);
alter table embeddings alter column vector set storage plain;
create index embeddings_by_source on embeddings (source_id, model);

create table answer_cache (
  account_id  text not null references accounts on delete cascade,
  key         text not null,
  answer      jsonb not null,
  hits        integer not null default 0,
  at          timestamptz not null default now(),
  primary key (account_id, key)
);

-- Row-level security

do $$ declare t text; begin
  foreach t in array array['accounts','api_keys','assistants','assistant_revisions','integrations','contacts',
    'contact_addresses','opt_outs','sessions','messages','lanes','turns','tickets','spend','journal','journal_unsealed',
    'journal_seals','sources','documents','document_data','chunks','embeddings','answer_cache'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy one_account on %I to hookflash_app using (account_id = current_account())'
                   ' with check (account_id = current_account())', t);
    execute format('grant select, insert, update, delete on %I to hookflash_app', t);
  end loop;
end $$;
revoke update, delete on journal, journal_seals from hookflash_app;
revoke insert, update, delete on accounts from hookflash_app;
revoke update, delete on assistant_revisions from hookflash_app;

-- Across accounts: ids, nothing that a person said

create function account_of_integration(id text) returns text
  language sql stable security definer set search_path = pg_catalog, public
  return (select account_id from public.integrations i where i.id = account_of_integration.id);

create function api_key_by_hash(hash bytea) returns table (id text, account_id text, scopes text[])
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select k.id, k.account_id, k.scopes from public.api_keys k
    where k.hash = api_key_by_hash.hash and k.revoked_at is null;
  end;

create function create_account(account_id text, name text) returns void
  language sql security definer set search_path = pg_catalog, public
  begin atomic
    insert into public.accounts (account_id, name) values (create_account.account_id, create_account.name);
  end;

create function all_accounts() returns setof text
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select account_id from public.accounts order by account_id;
  end;

create function claim_lanes(worker integer, lease interval, most integer)
  returns table (contact_id text, account_id text, fence bigint)
  language sql volatile security definer set search_path = pg_catalog, public
  begin atomic
    update public.lanes l
    set worker = claim_lanes.worker, lease_until = clock_timestamp() + claim_lanes.lease, fence = l.fence + 1, due_at = null
    from (select d.contact_id from public.lanes d
          where d.worker is null and d.due_at <= clock_timestamp()
          order by d.due_at limit claim_lanes.most for update skip locked) due
    where l.contact_id = due.contact_id
    returning l.contact_id, l.account_id, l.fence;
  end;

create function next_lane_due() returns timestamptz
  language sql volatile security definer set search_path = pg_catalog, public
  return (select min(due_at) from public.lanes where worker is null and due_at is not null);

create function renew_leases(worker integer, lease interval) returns void
  language sql volatile security definer set search_path = pg_catalog, public
  begin atomic
    -- Who waits for one lane while it holds another may be waited for: what is locked now is renewed the next time.
    update public.lanes l set lease_until = clock_timestamp() + renew_leases.lease
    from (select h.contact_id from public.lanes h where h.worker = renew_leases.worker for update skip locked) held
    where l.contact_id = held.contact_id;
  end;

create function free_dead_lanes() returns bigint
  language sql volatile security definer set search_path = pg_catalog, public
  begin atomic
    with freed as (
      update public.lanes l set worker = null, lease_until = null, due_at = clock_timestamp()
      from (select h.contact_id from public.lanes h
            where h.worker is not null
              and (h.lease_until < clock_timestamp()
                   or not exists (select from pg_locks k where k.locktype = 'advisory' and k.classid = 1215782247
                                    and k.objid = h.worker::bigint::oid and k.granted
                                    and k.database = (select oid from pg_database where datname = current_database())))
            for update skip locked) dead
      where l.contact_id = dead.contact_id
      returning 1)
    select count(*) from freed;
  end;

create function accounts_to_seal() returns setof text
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select distinct account_id from public.journal_unsealed;
  end;

create function active_integrations() returns table (id text, account_id text)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select i.id, i.account_id from public.integrations i where not i.disabled order by i.id;
  end;

do $$ declare f regprocedure; begin
  for f in select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace
           where n.nspname = 'public' and p.prosecdef loop
    execute format('revoke all on function %s from public', f);
    execute format('grant execute on function %s to hookflash_app', f);
  end loop;
end $$;
