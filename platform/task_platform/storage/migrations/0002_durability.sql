-- Effects that a handler wants once, replays of the dead, and what retention needs to find old rows.

-- What a handler did under `once`: a later attempt of the task reads the result and skips the work.
create table effects (
    task_id uuid not null,
    name text not null,
    -- The claim under which it was done.
    fence bigint not null,
    result json not null,
    recorded_at timestamptz not null default now(),
    primary key (task_id, name)
);

-- What the built-in type `effect` leaves behind, for whoever checks that nothing ran twice. Nothing
-- here is unique, on purpose: a double must be able to show.
create table effect_log (
    id bigint generated always as identity primary key,
    task_id uuid not null,
    fence bigint not null,
    kind text not null check (kind in ('started', 'guarded')),
    logged_at timestamptz not null default now()
);

create index effect_log_task_id on effect_log (task_id);

-- What the claim charged each of its tasks, 1 or 0: whoever gives an attempt back must know. A claim
-- from before this column holds none, and charged 1 each.
alter table claims add column charges smallint[] not null default '{}';

-- The dead task that this one repeats.
alter table tasks add column replay_of uuid;

alter table dead_letters add column replayed_as uuid;

create index dead_letters_open on dead_letters (failed_at, task_id) where resolved_at is null;

create index idempotency_keys_expires_at on idempotency_keys (expires_at);

-- Each queue's messages are taken apart from the others'.
create index outbox_queue_available_at on outbox (queue, available_at);

drop index outbox_available_at;

-- How long the oldest due message has waited, and which are due at all, beside many of later times.
create index outbox_due_at on outbox (due_at);
