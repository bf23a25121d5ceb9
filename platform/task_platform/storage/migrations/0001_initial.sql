-- Tasks, and what surrounds them. Rules that keep updates cheap (heap-only tuples):
-- tasks has room on every page (fillfactor 50) and no index that names state, due time, lease,
-- owner or fence. Due times live in outbox, leases in claims, the list of the dead in
-- dead_letters, uniqueness in idempotency_keys.

create table tasks (
    id uuid primary key,
    tenant text not null,
    task_type text not null,
    payload json not null,
    max_retries smallint not null,
    state text not null default 'QUEUED'
        check (state in ('QUEUED', 'PROCESSING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
    -- Executions charged to max_retries; a drained or innocent one is given back.
    attempts smallint not null default 0,
    -- Rises by one at every claim and is never lowered; a writer must still hold it.
    fence bigint not null default 0,
    -- Set after a loss in company: the task is then claimed, and run, alone.
    isolate boolean not null default false,
    result json,
    error json,
    created_at timestamptz not null default now(),
    due_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz
) with (fillfactor = 50);

create table idempotency_keys (
    tenant text not null,
    key text not null,
    fingerprint bytea not null,
    task_id uuid not null,
    expires_at timestamptz not null,
    primary key (tenant, key)
);

-- Messages that still have to reach the broker. One row stands for a whole batch of tasks.
create table outbox (
    id bigint generated always as identity primary key,
    queue text not null,
    task_ids uuid[] not null,
    due_at timestamptz not null,
    -- When a relay may take the row: later than due_at while somebody else is at it.
    available_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

create index outbox_available_at on outbox (available_at);

-- Leases: one row for each claimed batch, gone when every member is finished.
create table claims (
    id bigint generated always as identity primary key,
    owner text not null,
    task_ids uuid[] not null,
    fences bigint[] not null,
    -- Whether the worker ran it with nothing beside it: only such a loss is the task's own fault.
    alone boolean not null,
    expires_at timestamptz not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

create table dead_letters (
    task_id uuid primary key,
    reason text not null,
    failed_at timestamptz not null,
    resolved_at timestamptz,
    resolution text check (resolution in ('replayed', 'purged'))
);

-- Attempts that did not succeed; a task that succeeds at once leaves no row here.
create table attempt_failures (
    task_id uuid not null,
    fence bigint not null,
    attempt smallint not null,
    worker text not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    outcome text not null check (outcome in ('retried', 'dead', 'worker_lost')),
    error_type text not null,
    message text not null,
    primary key (task_id, fence)
);
