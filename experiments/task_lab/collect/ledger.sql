-- name: count_tasks
-- How many tasks of an id range there are, and how many are terminal.
-- $1 first_id uuid, $2 last_id uuid (inclusive), $3 terminal text[]
select count(*) as total, count(*) filter (where state = any($3::text[])) as terminal
from tasks
where id between $1 and $2;

-- name: count_unfinished
-- What the platform still has to do: tasks that are not terminal, and messages not yet sent.
-- $1 terminal text[]
select
    (select count(*) from tasks where state <> all($1::text[])) as tasks,
    (select count(*) from outbox) as outbox_rows;

-- name: count_outbox
-- Messages that still have to reach the broker, in rows.
select count(*) as outbox_rows from outbox;

-- name: all_tasks
-- The whole ledger in id order. The payload is the client's own and stays out.
select
    id, tenant, task_type, max_retries, state, attempts, fence, isolate, result, error,
    created_at, due_at, started_at, finished_at
from tasks
order by id;

-- name: all_keys
-- Which task each idempotency key stands for.
select key, task_id from idempotency_keys order by task_id;

-- name: task_times
-- When each task of an id range was due, started and finished.
-- $1 first_id uuid, $2 last_id uuid (inclusive)
select id, due_at, started_at, finished_at from tasks where id between $1 and $2 order by id;

-- name: all_dead_letters
-- Every dead letter, resolved or not.
select task_id, reason, failed_at, resolved_at, resolution from dead_letters order by task_id;

-- name: all_attempt_failures
-- Attempts that came to no success. Their messages are the handlers' own and stay out.
select task_id, fence, attempt, outcome, error_type, worker, started_at, ended_at
from attempt_failures
order by task_id, fence;

-- name: clock
-- The database's clock, and its version.
select extract(epoch from clock_timestamp())::float8 as now, version() as version;
