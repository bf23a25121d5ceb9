-- name: list_dead_letters
-- Newest first, within one bounded window, so that a rare task type never reads the whole list.
-- Every row repeats where the window ended, whether it was full, and whether $1 is listed at all.
-- $1 before uuid (continue below this dead letter; null: the newest), $2 window bigint,
-- $3 only_open boolean, $4 task_type text (null: any), $5 limit bigint
with scanned as materialized (
    select task_id, reason, failed_at, resolved_at, resolution, replayed_as
    from dead_letters
    where (not $3::boolean or resolved_at is null)
        and (
            $1::uuid is null
            or (failed_at, task_id) < (select failed_at, task_id from dead_letters where task_id = $1)
        )
    order by failed_at desc, task_id desc
    limit $2
),
matching as (
    select scanned.*, t.tenant, t.task_type, t.attempts, t.max_retries, t.error, t.replay_of
    from scanned
    left join tasks t on t.id = scanned.task_id
    where $4::text is null or t.task_type = $4
    order by failed_at desc, task_id desc
    limit $5
),
edge as (
    select (select count(*) from scanned) as scanned,
        (select task_id from scanned order by failed_at, task_id limit 1) as last_scanned,
        $1::uuid is null or exists (select from dead_letters where task_id = $1) as is_known
)
select edge.*, matching.*
from edge
left join matching on true
order by matching.failed_at desc, matching.task_id desc;

-- name: show_dead_letter
-- One dead letter with its task (nulls when it has none), and whether its message still waits to
-- reach the dead letter queue.
-- $1 task_id uuid
select d.*, t.tenant, t.task_type, t.attempts, t.max_retries, t.error, t.replay_of,
    t.payload, t.created_at,
    exists (select from outbox where queue = 'tasks.dlq' and $1 = any(task_ids)) as is_unannounced
from dead_letters d
left join tasks t on t.id = d.task_id
where d.task_id = $1;

-- name: dead_letter_history
-- The newest attempts of a task that did not succeed.
-- $1 task_id uuid, $2 limit bigint
select attempt, worker, started_at, ended_at, outcome, error_type, message
from attempt_failures
where task_id = $1
order by fence desc
limit $2;

-- name: open_dead_letters
-- Open ones in the order of their deaths: one bounded window of those that died by $1.
-- $1 until timestamptz, $2 after timestamptz, $3 after_id uuid (exclusive), $4 window bigint
select d.task_id, d.failed_at, t.task_type
from (
    select task_id, failed_at
    from dead_letters
    where resolved_at is null and failed_at <= $1 and (failed_at, task_id) > ($2, $3)
    order by failed_at, task_id
    limit $4
) d
left join tasks t on t.id = d.task_id
order by d.failed_at, d.task_id;

-- name: replay_dead_letters
-- For each open dead letter with a task: resolve it, and commit a new task that repeats the dead
-- one, with its announcement. Whoever comes second finds the dead letter resolved.
-- $1 ids uuid[] (each once), $2 new_ids uuid[], $3 dead_state text
with wanted as materialized (
    select id, new_id from unnest($1::uuid[], $2::uuid[]) as w (id, new_id)
),
locked as materialized (
    select task_id
    from dead_letters
    where task_id in (select id from wanted) and resolved_at is null
    order by task_id
    for update
),
resolved as (
    update dead_letters d
    set resolved_at = now(), resolution = 'replayed', replayed_as = w.new_id
    from locked, wanted w, tasks t
    where d.task_id = locked.task_id and w.id = d.task_id
        and t.id = d.task_id and t.state = $3
    returning d.task_id, d.replayed_as
),
replayed as (
    insert into tasks (id, tenant, task_type, payload, max_retries, replay_of)
    select r.replayed_as, t.tenant, t.task_type, t.payload, t.max_retries, t.id
    from resolved r
    join tasks t on t.id = r.task_id
    returning id
),
announced as (
    insert into outbox (queue, task_ids, due_at, available_at)
    select 'tasks', array_agg(id), now(), now() from replayed having count(*) > 0
)
select w.id, r.replayed_as, d.task_id is not null as is_listed, t.id is not null as has_task
from wanted w
left join resolved r on r.task_id = w.id
left join dead_letters d on d.task_id = w.id
left join tasks t on t.id = w.id and t.state = $3;

-- name: purge_dead_letters
-- Resolve open dead letters without repeating their tasks.
-- $1 ids uuid[] (each once)
with purged as (
    update dead_letters
    set resolved_at = now(), resolution = 'purged'
    where task_id in (
        select task_id
        from dead_letters
        where task_id = any($1::uuid[]) and resolved_at is null
        order by task_id
        for update
    )
    returning task_id
)
select w.id, p.task_id is not null as is_purged, d.task_id is not null as is_listed
from unnest($1::uuid[]) as w (id)
left join purged p on p.task_id = w.id
left join dead_letters d on d.task_id = w.id;

-- name: count_open_dead_letters
-- How many are neither replayed nor purged, and whether any is still to be announced.
select (select count(*) from dead_letters where resolved_at is null) as open,
    exists (select from outbox where queue = 'tasks.dlq') as has_unannounced;

-- name: announced_dead_letters
-- One window of the open ones, in the order of their deaths, and of each whether its message was
-- confirmed, so that the dead letter queue must hold it.
-- $1 after timestamptz, $2 after_id uuid (exclusive), $3 window bigint
with listed as materialized (
    select task_id, failed_at
    from dead_letters
    where resolved_at is null and (failed_at, task_id) > ($1, $2)
    order by failed_at, task_id
    limit $3
),
-- Not a join: a set operation never compares each with each, whatever the planner expects.
unannounced as materialized (
    select task_id from listed
    intersect
    select unnest(task_ids) from outbox where queue = 'tasks.dlq'
)
select task_id, failed_at,
    not exists (select from unannounced u where u.task_id = listed.task_id) as is_announced
from listed
order by failed_at, task_id;

-- name: open_among
-- Which of these are open dead letters.
-- $1 ids uuid[]
select task_id from dead_letters where task_id = any($1::uuid[]) and resolved_at is null;
