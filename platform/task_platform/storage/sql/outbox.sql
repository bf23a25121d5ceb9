-- name: claim_outbox_rows
-- Take rows of one queue that are due, hiding them from other relays for a while.
-- No lock is held while the broker answers: whoever dies with a row leaves it to reappear.
-- $1 limit bigint, $2 hide_s float8, $3 queue text
update outbox
set available_at = now() + $2::float8 * interval '1 second'
where id in (
    select id from outbox
    where queue = $3 and available_at <= now()
    order by available_at
    limit $1
    for update skip locked
)
returning id, queue, task_ids;

-- name: delete_outbox_rows
-- Forget rows whose messages are all confirmed.
-- $1 ids bigint[]
delete from outbox where id = any($1::bigint[]);

-- name: shrink_outbox_row
-- Keep only the unconfirmed part of a row, and make it due again.
-- $1 id bigint, $2 unconfirmed uuid[], $3 delay_s float8
update outbox
set task_ids = $2, available_at = now() + $3::float8 * interval '1 second'
where id = $1;

-- name: release_outbox_rows
-- Let relays take these rows some time from now.
-- $1 ids bigint[], $2 delay_s float8
update outbox
set available_at = now() + $2::float8 * interval '1 second'
where id = any($1::bigint[]);

-- name: oldest_unsent_age
-- Seconds for which the oldest due row has been waiting; 0 when there is none.
select coalesce(extract(epoch from now() - min(due_at)), 0)::float8
from outbox
where due_at <= now();

-- name: reannounce
-- Announce again the tasks that nobody will otherwise remember: QUEUED, due for a while, without an
-- outbox row. While the queue still has messages, only those are meant that were overtaken: a task
-- that fell due later was started long ago, so in a first-in-first-out queue their message is lost.
-- Looks at one window of ids; says where it ended, where the first open task stood, and the latest
-- due time of all that is known to have been started long ago ($8, or a later one in this window).
-- $1 after uuid, $2 before uuid (both exclusive), $3 window bigint, $4 age_s float8, $5 state text,
-- $6 terminal text[], $7 only_overtaken boolean, $8 frontier timestamptz (null: none is known)
with scanned as materialized (
    select id, state, due_at, started_at from tasks where id > $1 and id < $2 order by id limit $3
),
frontier as materialized (
    select greatest($8::timestamptz, max(due_at)) as due_at
    from scanned
    where state <> $5 and started_at < now() - $4::float8 * interval '1 second'
),
overdue as materialized (
    select id
    from scanned, frontier
    where state = $5
        and scanned.due_at < now() - $4::float8 * interval '1 second'
        and (not $7::boolean or scanned.due_at < frontier.due_at)
),
-- What waits for a later time, as retries do, is nobody's overdue task.
waiting as materialized (
    select unnest(task_ids) as id
    from outbox
    where queue = 'tasks' and due_at <= now() and exists (select from overdue)
),
-- Not a join: a set operation never compares each with each, whatever the planner expects.
forgotten as materialized (
    select id from overdue except select id from waiting
),
announced as (
    insert into outbox (queue, task_ids, due_at, available_at)
    select 'tasks', array_agg(id order by id), now(), now()
    from (select id, (row_number() over (order by id) - 1) / 500 as part from forgotten) parts
    group by part
    order by part
)
select
    (select count(*) from forgotten) as announced,
    (select id from scanned order by id desc limit 1) as last_scanned,
    (select id from scanned where state <> all($6::text[]) order by id limit 1) as first_open,
    (select due_at from frontier) as frontier;
