-- name: finish_succeeded
-- Record a batch of successes, and close the claims that are done with. Workers know the time by what
-- they were told with their claim, and may be early by the way it took: nothing starts after its end.
-- Ids that do not come back had been lost: somebody else owns them now.
-- $1 ids uuid[], $2 fences bigint[], $3 results text[], $4 started_at timestamptz[],
-- $5 prior_states text[], $6 state text, $7 closed_claims bigint[]
with finished as (
    update tasks t
    set state = $6,
        result = i.result::json,
        error = null,
        started_at = least(i.started_at, now()),
        finished_at = now()
    from unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[])
        as i (id, fence, result, started_at)
    where t.id = i.id and t.fence = i.fence and t.state = any($5::text[])
    returning t.id
),
closed as (
    delete from claims where id = any($7::bigint[])
)
select id from finished;

-- name: committed_outcomes
-- Which of these executions have their outcome recorded: a success stands in the row, a failure in
-- the history.
-- $1 ids uuid[], $2 fences bigint[], $3 success text
with asked as (
    select id, fence from unnest($1::uuid[], $2::bigint[]) as i (id, fence)
)
select t.id
from tasks t join asked using (id, fence)
where t.state = $3
union
select a.task_id
from attempt_failures a join asked on a.task_id = asked.id and a.fence = asked.fence
where a.outcome <> 'worker_lost';

-- name: finish_unsuccessful
-- Record a batch of failed attempts: each is retried when due, or dead.
-- $1 ids uuid[], $2 fences bigint[], $3 dead boolean[], $4 delays_s float8[], $5 errors text[],
-- $6 error_types text[], $7 messages text[], $8 started_at timestamptz[], $9 ended_at timestamptz[],
-- $10 worker text, $11 retry_prior_states text[], $12 retry_state text,
-- $13 dead_prior_states text[], $14 dead_state text, $15 closed_claims bigint[]
with changed as (
    update tasks t
    set state = case when i.dead then $14 else $12 end,
        due_at = case when i.dead then t.due_at
            else now() + i.delay_s * interval '1 second' end,
        error = i.error::json,
        started_at = least(i.started_at, now()),
        finished_at = case when i.dead then now() end
    from unnest(
        $1::uuid[], $2::bigint[], $3::boolean[], $4::float8[], $5::text[], $6::text[], $7::text[],
        $8::timestamptz[], $9::timestamptz[]
    ) as i (id, fence, dead, delay_s, error, error_type, message, started_at, ended_at)
    where t.id = i.id and t.fence = i.fence
        and t.state = any(case when i.dead then $13::text[] else $11::text[] end)
    returning t.id, t.fence, t.attempts, t.due_at, i.dead, i.error_type, i.message,
        t.started_at, least(i.ended_at, now()) as ended_at
),
history as (
    insert into attempt_failures
        (task_id, fence, attempt, worker, started_at, ended_at, outcome, error_type, message)
    select id, fence, attempts, $10, started_at, ended_at,
        case when dead then 'dead' else 'retried' end, error_type, message
    from changed
    on conflict do nothing
),
dead as (
    insert into dead_letters (task_id, reason, failed_at)
    select id, error_type, now() from changed where dead
    -- A message of the task may have been buried before its row came back from a backup.
    on conflict (task_id) do update
    set reason = excluded.reason, failed_at = excluded.failed_at,
        resolved_at = null, resolution = null
),
announced as (
    insert into outbox (queue, task_ids, due_at, available_at)
    select 'tasks', array[id], due_at, due_at from changed where not dead
    union all
    select 'tasks.dlq', array_agg(id), now(), now() from changed where dead having count(*) > 0
),
closed as (
    delete from claims where id = any($15::bigint[])
)
select id, dead from changed;

-- name: give_back
-- Return claimed tasks that were not run to an end, uncharged, for another worker to take: at once,
-- or after a while.
-- $1 ids uuid[], $2 fences bigint[], $3 prior_states text[], $4 state text,
-- $5 closed_claims bigint[], $6 after_s float8, $7 charges smallint[] (what the claim charged each)
with returned as (
    update tasks t
    set state = $4,
        attempts = attempts - i.charge,
        due_at = case when $6::float8 > 0 then now() + $6::float8 * interval '1 second'
            else t.due_at end
    from unnest($1::uuid[], $2::bigint[], $7::smallint[]) as i (id, fence, charge)
    where t.id = i.id and t.fence = i.fence and t.state = any($3::text[])
    returning t.id
),
announced as (
    insert into outbox (queue, task_ids, due_at, available_at)
    select 'tasks', array_agg(id), due_at, due_at
    from (select id, now() + $6::float8 * interval '1 second' as due_at from returned) as r
    group by due_at
),
closed as (
    delete from claims where id = any($5::bigint[])
)
select id from returned;
