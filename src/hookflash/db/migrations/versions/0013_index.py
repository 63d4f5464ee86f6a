"""Which sources' vectors are kept outside as well, and what has changed in them since they were copied."""

from hookflash.db.migrations.upgrade import execute

revision = "0013"
down_revision = "0012"

SQL = """
-- Neither table refers to what it is about: both must outlive it until the copy is gone, too.
create table vector_copies (
  source_id   text primary key,
  account_id  text not null,
  place       text not null,                     -- which index holds the copy
  complete    boolean not null default false     -- all that it does not have is in vector_changes
);
create index vector_copies_by_account on vector_copies (account_id);

create table vector_changes (                    -- of sources that are copied: what the copy does not know yet
  chunk_id    bigint not null,
  model       text not null,
  account_id  text not null,
  source_id   text not null,
  gone        boolean not null,
  primary key (chunk_id, model)
);
create index vector_changes_by_source on vector_changes (source_id, model, chunk_id);
create index vector_changes_by_account on vector_changes (account_id);

do $$
declare t text;
begin
  foreach t in array array['vector_copies', 'vector_changes'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy one_account on %I to hookflash_app using (account_id = current_account())'
                   ' with check (account_id = current_account())', t);
    execute format('grant select, insert, update, delete on %I to hookflash_app', t);
  end loop;
end $$;

-- Whatever adds or removes a vector, cascades too, says so here in its own transaction.
create function note_vectors_added() returns trigger language plpgsql as $$
begin
  insert into vector_changes (chunk_id, model, account_id, source_id, gone)
    select v.chunk_id, v.model, v.account_id, v.source_id, false
    from changed v join vector_copies c on c.source_id = v.source_id
    on conflict (chunk_id, model) do update set gone = false;
  return null;
end $$;

-- When the source itself is gone its copy is dropped as a whole.
create function note_vectors_removed() returns trigger language plpgsql as $$
begin
  insert into vector_changes (chunk_id, model, account_id, source_id, gone)
    select v.chunk_id, v.model, v.account_id, v.source_id, true
    from changed v join vector_copies c on c.source_id = v.source_id join sources s on s.id = v.source_id
    on conflict (chunk_id, model) do update set gone = true;
  return null;
end $$;

create trigger vectors_added after insert on embeddings referencing new table as changed
  for each statement execute function note_vectors_added();
create trigger vectors_removed after delete on embeddings referencing old table as changed
  for each statement execute function note_vectors_removed();

create function copies_behind(place text) returns table (account_id text, source_id text)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select c.account_id, c.source_id from public.vector_copies c
    where c.place <> copies_behind.place or not c.complete
       or exists (select from public.vector_changes v where v.source_id = c.source_id)
       or not exists (select from public.sources s where s.id = c.source_id)
    order by c.source_id;
  end;

create function forget_copies() returns void
  language sql volatile security definer set search_path = pg_catalog, public
  begin atomic
    delete from public.vector_changes;
    delete from public.vector_copies;
  end;

revoke all on function copies_behind(text), forget_copies() from public;
grant execute on function copies_behind(text), forget_copies() to hookflash_app;
"""


def upgrade() -> None:
    execute(SQL)
