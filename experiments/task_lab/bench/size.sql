-- name: fill_finished
-- As many finished tasks as asked for, as the platform leaves them: one row each, and the key that
-- it was submitted with. Everything but ids and times is copied from the last task that finished;
-- they were created 40 ms apart, the last one just now.
-- $1 tasks int
with model as (
    select tenant, task_type, payload, max_retries, state, attempts, fence, result
    from tasks
    where state = 'SUCCEEDED'
    order by id desc
    limit 1
),
fresh as materialized (
    select
        (
            lpad(to_hex((extract(epoch from created_at) * 1000)::bigint), 12, '0')
            || '7' || lpad(to_hex((random() * 4095)::int), 3, '0')
            || '8' || substr(md5(n::text), 1, 15)
        )::uuid as id,
        created_at
    from (
        select n, now() - ($1::int - n) * interval '40 milliseconds' as created_at
        from generate_series(1, $1::int) as n
    ) as moments
),
finished as (
    insert into tasks (
        id, tenant, task_type, payload, max_retries, state, attempts, fence, result,
        created_at, due_at, started_at, finished_at
    )
    select
        f.id, m.tenant, m.task_type, m.payload, m.max_retries, m.state, m.attempts, m.fence,
        m.result, f.created_at, f.created_at, f.created_at + interval '5 milliseconds',
        f.created_at + interval '6 milliseconds'
    from fresh f, model m
)
insert into idempotency_keys (tenant, key, fingerprint, task_id, expires_at)
select
    m.tenant, gen_random_uuid()::text, sha256(f.id::text::bytea), f.id,
    f.created_at + interval '24 hours'
from fresh f, model m;

-- name: empty
-- Forget every task. Nothing may be under way.
truncate tasks, idempotency_keys;

-- name: tidy_tasks
-- What autovacuum does sooner or later, now; the planner then knows the table's size.
vacuum (analyze) tasks;

-- name: tidy_keys
vacuum (analyze) idempotency_keys;

-- name: write_out
-- Write to disk now what would otherwise be written in the middle of a drain.
checkpoint;

-- name: explain_new_sessions
-- Log the plan of every statement, with the pages it touched, in sessions that begin from now on.
do $$
declare
    setting text[];
begin
    foreach setting slice 1 in array array[
        ['session_preload_libraries', 'auto_explain'],
        ['auto_explain.log_min_duration', '0'],
        ['auto_explain.log_analyze', 'on'],
        ['auto_explain.log_buffers', 'on'],
        ['auto_explain.log_timing', 'off'],
        ['auto_explain.log_format', 'json']
    ]
    loop
        execute format(
            'alter database %I set %s = %L', current_database(), setting[1], setting[2]
        );
    end loop;
end
$$;

-- name: worker_sessions
-- Process ids of the sessions of workers.
select pid from pg_stat_activity where application_name like 'task-platform%worker%';
