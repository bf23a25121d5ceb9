-- name: remove
-- The schema of the drain, with everything in it; nothing where there is none.
drop schema if exists task_lab_pgqueuer cascade;

-- name: analyze
-- Lets the planner know how full the queue is.
analyze task_lab_pgqueuer.pgqueuer;

-- name: is_worker_busy
-- Whether a session of the worker has done anything in the last while.
-- $1 application text, $2 quiet interval
select count(*) = 0 or bool_or(state <> 'idle' or state_change > clock_timestamp() - $2::interval)
from pg_stat_activity
where application_name = $1 and datname = current_database();

-- name: is_over
-- Whether a job has left the queue, however it ended.
-- $1 job_id bigint
select exists (
    select from task_lab_pgqueuer.pgqueuer_log
    where job_id = $1 and status not in ('queued', 'picked')
);

-- name: count_jobs
-- What has become of the jobs from one id on: how many succeeded, how often a job ended otherwise,
-- how many are still in the queue, and when the last one succeeded, in unix seconds.
-- $1 first_id bigint
select
    count(distinct job_id) filter (where status = 'successful') as succeeded,
    count(*) filter (where status = 'successful') as successes,
    count(*) filter (where status not in ('queued', 'picked', 'successful')) as others,
    (select count(*) from task_lab_pgqueuer.pgqueuer where id >= $1) as queued,
    extract(epoch from max(created) filter (where status = 'successful'))::float8 as ended_at
from task_lab_pgqueuer.pgqueuer_log
where job_id >= $1;
