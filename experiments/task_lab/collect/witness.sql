-- name: install
-- The witness: every insert, delete and change of state or fence of a task, in order for each task
-- (the row's lock is held from before a number is drawn until its commit).
create table if not exists lab_transitions (
    id bigint generated always as identity primary key,
    task_id uuid not null,
    before text,
    after text,
    fence bigint not null,
    attempts smallint not null,
    due_in_s float8 not null,
    seen_at timestamptz not null default clock_timestamp()
);

create or replace function lab_witness() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into lab_transitions (task_id, before, after, fence, attempts, due_in_s)
        values (new.id, null, new.state, new.fence, new.attempts,
            extract(epoch from new.due_at - now()));
    elsif tg_op = 'DELETE' then
        insert into lab_transitions (task_id, before, after, fence, attempts, due_in_s)
        values (old.id, old.state, null, old.fence, old.attempts,
            extract(epoch from old.due_at - now()));
    elsif (old.state, old.fence) is distinct from (new.state, new.fence) then
        insert into lab_transitions (task_id, before, after, fence, attempts, due_in_s)
        values (new.id, old.state, new.state, new.fence, new.attempts,
            extract(epoch from new.due_at - now()));
    end if;
    return null;
end
$$;

create or replace trigger lab_witness
after insert or delete or update on tasks
for each row execute function lab_witness();

-- name: tasks
-- Every task from an id on. $1 first_id uuid
select id::text, task_type, payload::text, max_retries, state, attempts, fence,
    result::text, replay_of::text
from tasks
where id >= $1
order by id;

-- name: keys
-- Which task an idempotency key stands for. $1 first_id uuid
select key, task_id::text from idempotency_keys where task_id >= $1;

-- name: failures
-- Attempts that did not succeed. $1 first_id uuid
select task_id::text, fence, attempt, outcome
from attempt_failures
where task_id >= $1
order by task_id, fence;

-- name: dead_letters
-- The list of the dead. $1 first_id uuid
select task_id::text, resolved_at is null as is_open, resolution, replayed_as::text
from dead_letters
where task_id >= $1;

-- name: effect_log
-- What the type `effect` left behind. $1 first_id uuid
select task_id::text, fence, kind from effect_log where task_id >= $1 order by id;

-- name: effects
-- What handlers did under `once`. $1 first_id uuid
select task_id::text, name, fence from effects where task_id >= $1;

-- name: transitions
-- What the witness saw. $1 first_id uuid
select task_id::text, before, after, fence, attempts,
    extract(epoch from seen_at)::float8 as seen_at, due_in_s
from lab_transitions
where task_id >= $1
order by id;

-- name: claims
-- Leases that are still there.
select owner, task_ids::text[], expires_at < now() as is_expired from claims order by id;

-- name: outbox
-- Messages that still have to reach the broker.
select queue, task_ids::text[] from outbox order by id;
