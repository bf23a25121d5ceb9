-- name: recorded_effect
-- What the ledger says of an effect, and whether this execution still holds the task.
-- $1 task_id uuid, $2 fence bigint, $3 states text[], $4 name text
select
    exists (select from tasks where id = $1 and fence = $2 and state = any($3::text[])) as is_held,
    (select result from effects where task_id = $1 and name = $4) as result;

-- name: record_effect
-- Record an effect for an execution that still holds the task. The row stays locked until the end
-- of the transaction, so that the reaper cannot come in between.
-- $1 task_id uuid, $2 fence bigint, $3 states text[], $4 name text, $5 result text
with held as materialized (
    select id from tasks
    where id = $1 and fence = $2 and state = any($3::text[])
    for no key update
),
recorded as (
    insert into effects (task_id, name, fence, result)
    select id, $4, $2, $5::json from held
    on conflict (task_id, name) do nothing
    returning task_id
)
select exists (select from held) as is_held, exists (select from recorded) as is_new;

-- name: hurry_transaction
-- From here to the commit nothing is waited for: should the worker freeze now, the locks that the
-- reaper needs are freed after this time.
-- $1 limit text
select set_config('idle_in_transaction_session_timeout', $1, true);

-- name: settled_task
-- A task's state and fence, as soon as no open transaction can change them any more.
-- $1 task_id uuid
select state, fence from tasks where id = $1 for no key update;

-- name: log_effect
-- A line for whoever checks what ran: by this execution, of this kind.
-- $1 task_id uuid, $2 fence bigint, $3 kind text
insert into effect_log (task_id, fence, kind) values ($1, $2, $3);
