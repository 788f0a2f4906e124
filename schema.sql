-- The table that the Worker reads, for PostgreSQL 15 or newer, Neon and PGlite.
--
-- Apply it in one transaction as the owner of the database (on Neon: neondb_owner), or as another role that may create
-- roles, and tables in the schema "public". Applying it again brings an older table up to date and changes nothing else:
--   * the table is created with its columns; a later column comes below it as "add column if not exists";
--   * a constraint is added if its name is missing. A rule that changes gets a new name, and the old name is dropped
--     above the list;
--   * the role is created once. Login, password and time-outs that an operator has set since are left alone.
--
-- A constraint forbids values that contradict each other, not missing ones: the contract lets all but the first five
-- values be null, so a run that lost its times in a restart is still a record.

begin;

create table if not exists public.crew_runs (
  id             uuid        not null,
  correlation_id text        not null,
  owner_id       text        not null,
  status         text        not null,
  created_at     timestamptz not null default now(),
  crew_type      text,
  crew_config    jsonb,
  task_input     jsonb,
  result         text,
  error          text,
  started_at     timestamptz,
  completed_at   timestamptz,
  constraint crew_runs_pkey primary key (id)
);

do $$
declare
  rule record;
begin
  for rule in
    select * from (values
      ('crew_runs_status_known', $rule$
        status in ('pending', 'running', 'completed', 'failed')
      $rule$),
      -- The subject of a token: OpenID Connect Core 1.0 §2 bounds it at 255 characters.
      ('crew_runs_owner_id_length', $rule$
        char_length(owner_id) between 1 and 255
      $rule$),
      -- SQLAlchemy writes Python's None into a JSON column as the JSON value null, which means the same as SQL's.
      ('crew_runs_crew_config_object', $rule$
        jsonb_typeof(crew_config) in ('object', 'null')
      $rule$),
      ('crew_runs_task_input_object', $rule$
        jsonb_typeof(task_input) in ('object', 'null')
      $rule$),
      -- RFC 3339 §5.6 writes a year in four digits and knows neither BC nor infinity.
      ('crew_runs_created_at_writable', $rule$
        created_at >= '0001-01-01 00:00:00+00' and created_at < '10000-01-01 00:00:00+00'
      $rule$),
      ('crew_runs_started_at_writable', $rule$
        started_at >= '0001-01-01 00:00:00+00' and started_at < '10000-01-01 00:00:00+00'
      $rule$),
      ('crew_runs_completed_at_writable', $rule$
        completed_at >= '0001-01-01 00:00:00+00' and completed_at < '10000-01-01 00:00:00+00'
      $rule$),
      ('crew_runs_started_after_created', $rule$
        started_at >= created_at
      $rule$),
      -- A run may fail before it starts.
      ('crew_runs_completed_after_started', $rule$
        completed_at >= coalesce(started_at, created_at)
      $rule$),
      ('crew_runs_pending_not_started', $rule$
        status <> 'pending' or started_at is null
      $rule$),
      -- pending and running are not final: nothing has been completed yet.
      ('crew_runs_completed_only_when_final', $rule$
        status in ('completed', 'failed') or completed_at is null
      $rule$)
    ) as rules (name, condition)
  loop
    if not exists (
      select from pg_constraint where conrelid = 'public.crew_runs'::regclass and conname = rule.name
    ) then
      execute format('alter table public.crew_runs add constraint %I check (%s)', rule.name, btrim(rule.condition, E' \n'));
    end if;
  end loop;
end
$$;

comment on table public.crew_runs is
  'One row per crew run. The back end inserts and updates; GET /api/crew-runs/{run_id} reads one row by its id. Don''t change a finished row (completed, failed): it is cached, and its readers may see the old one until the cache expires.';
comment on column public.crew_runs.id is
  'Chosen by the writer; any uuid, of any version.';
comment on column public.crew_runs.correlation_id is
  'Ties the run to the request and the log lines that belong to it. Returned as it is.';
comment on column public.crew_runs.owner_id is
  'The subject ("sub") of the owner''s access token, exactly: 1 to 255 characters, compared by value. Only this user and admins can read the run.';
comment on column public.crew_runs.status is
  'pending, then running, then completed or failed. A run may also fail before it starts.';
comment on column public.crew_runs.created_at is
  'When the run was accepted. Leave it out for the time of the insert. Readers see UTC with microseconds.';
comment on column public.crew_runs.crew_type is
  'Free text, null if the crew has no type. An empty string stays an empty string.';
comment on column public.crew_runs.crew_config is
  'A JSON object with the arrays "agents" and "tasks"; null if there is none. Optional keys may be missing: readers see the defaults. Unknown keys are not shown.';
comment on column public.crew_runs.task_input is
  'A JSON object; null if there is none. Numbers keep all their digits on the way to the reader, so write them as JSON text, not through floating point.';
comment on column public.crew_runs.result is
  'The crew''s output, as text. Set it together with the status completed. No constraint does so: readers get what is here.';
comment on column public.crew_runs.error is
  'Why the run failed, in words that its owner may read. Set it together with the status failed. No constraint does so: readers get what is here.';
comment on column public.crew_runs.started_at is
  'When work began: never while pending, not before created_at. Take it from the clock that wrote created_at: now() is the safe choice.';
comment on column public.crew_runs.completed_at is
  'When the run became completed or failed: never before that, not before started_at. Set in the statement that sets the status.';

-- The Worker logs in as this role. It can't log in yet: the operator sets its password once, with
--   alter role crew_runs_reader login password '…';
-- Don't create it in Neon's console: roles from there are members of neon_superuser, which reads and writes everything.
-- Its settings are defaults of a session, which a client may change. Its grants limit it: it may read this one table and
-- nothing else.
do $$
declare
  chosen text[];
begin
  if not exists (select from pg_roles where rolname = 'crew_runs_reader') then
    begin
      create role crew_runs_reader nologin;
      comment on role crew_runs_reader is
        'Reads public.crew_runs for the crew-run API. Give it a login with: alter role crew_runs_reader login password ''…''';
    exception when duplicate_object or unique_violation then
      null; -- A role belongs to the whole cluster: another database may be creating it at this moment.
    end;
  end if;

  select coalesce(rolconfig, '{}') into chosen from pg_roles where rolname = 'crew_runs_reader';
  if not exists (select from unnest(chosen) as setting where setting like 'default_transaction_read_only=%') then
    alter role crew_runs_reader set default_transaction_read_only = on;
  end if;
  if not exists (select from unnest(chosen) as setting where setting like 'statement_timeout=%') then
    alter role crew_runs_reader set statement_timeout = '3s';
  end if;
end
$$;

grant usage on schema public to crew_runs_reader;
revoke all on table public.crew_runs from crew_runs_reader;
grant select on table public.crew_runs to crew_runs_reader;

commit;
