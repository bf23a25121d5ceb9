-- name: claim_tasks
-- Take tasks under one lease: every due one of $1 that nobody else is touching.
-- Isolated tasks are only taken when $6 says that they are claimed alone; otherwise they come back
-- with a null fence, and with how many workers were lost with them. Ids that do not come back at all cannot be claimed by this delivery.
-- $1 ids uuid[], $2 prior_states text[], $3 state text, $4 owner text, $5 lease_s float8,
-- $6 alone boolean, $7 in_company boolean (something else runs beside it all the same)
with found as (
    select id, isolate, attempts > max_retries as exhausted,
        case when isolate then (
            select count(*) from attempt_failures f
            where f.task_id = tasks.id and f.outcome = 'worker_lost'
        ) end as losses
    from tasks
    where id = any($1::uuid[]) and state = any($2::text[]) and due_at <= now()
    for update skip locked
),
claimed as (
    update tasks t
    set state = $3,
        fence = fence + 1,
        attempts = attempts + case when f.exhausted then 0 else 1 end,
        started_at = now()
    from found f
    where t.id = f.id and (not f.isolate or $6::boolean)
    returning t.id, t.task_type, t.payload, t.max_retries, t.attempts, t.fence,
        t.created_at, t.due_at, f.exhausted
),
lease as (
    insert into claims (owner, task_ids, fences, charges, alone, expires_at)
    select $4, array_agg(id), array_agg(fence), array_agg(case when exhausted then 0 else 1 end),
        $6::boolean and not $7::boolean, now() + $5::float8 * interval '1 second'
    from claimed
    having count(*) > 0
    returning id
)
-- Not one join of all that was found with all that was claimed: the planner expects one row of
-- each, and would compare every one with every other, 62,500 for a claim of 250.
select c.id, null::bigint as losses, c.task_type, c.payload, c.max_retries, c.attempts, c.fence,
    c.exhausted, c.created_at, c.due_at, now() as claimed_at, lease.id as claim_id
from claimed c cross join lease
union all
select id, losses, null, null, null, null, null, null, null, null, null, null
from found
where isolate and not $6::boolean;

-- name: existing_tasks
-- Which of these ids have a row at all.
-- $1 ids uuid[]
select id from tasks where id = any($1::uuid[]);

-- name: renew_claims
-- Lengthen the owner's leases; a claim that does not come back was lost to the reaper.
-- $1 owner text, $2 claim_ids bigint[], $3 lease_s float8
update claims
set expires_at = now() + $3::float8 * interval '1 second'
where owner = $1 and id = any($2::bigint[])
returning id;

-- name: expire_leases
-- Bring back the tasks of lost claims. A task lost in company may be innocent: it is not charged
-- for the attempt and runs alone from now on. A task lost while alone stays charged, so that one
-- which kills its worker runs out of attempts.
-- Waits for nobody: whoever finishes tasks locks them first and their claim last, so that two who
-- wait would wait for each other. A claim of which somebody is just finishing a task stays for the
-- next look.
-- $1 prior_states text[], $2 state text, $3 limit bigint,
-- $4 until timestamptz (later than that, this statement was held up and ends nothing; or null)
with overdue as materialized (
    select id, owner, task_ids, fences, charges, alone
    from claims
    where expires_at < now() and now() <= coalesce($4::timestamptz, 'infinity')
    order by id
    limit $3
    for update skip locked
),
members as materialized (
    select e.id as claim_id, e.owner, not e.alone as in_company, m.id, m.fence,
        case when e.alone then 0 else coalesce(m.charge, 1) end as given_back
    from overdue e, unnest(e.task_ids, e.fences, e.charges) as m (id, fence, charge)
),
held as materialized (
    select m.claim_id, count(*) as tasks
    from members m
    join tasks t on t.id = m.id and t.fence = m.fence
    where t.state = any($1::text[])
    group by m.claim_id
),
locked as materialized (
    select m.claim_id
    from members m
    join tasks t on t.id = m.id and t.fence = m.fence
    where t.state = any($1::text[])
    for no key update of t skip locked
),
busy as (
    select claim_id, tasks from held
    except select claim_id, count(*) from locked group by claim_id
),
expired as (
    delete from claims
    where id in (select id from overdue except select claim_id from busy)
    returning id
),
lost as (
    update tasks t
    set state = $2,
        attempts = attempts - m.given_back,
        isolate = isolate or m.in_company
    from members m
    where m.claim_id in (select id from expired)
        and t.id = m.id and t.fence = m.fence and t.state = any($1::text[])
    returning t.id, t.fence, t.attempts + m.given_back as attempt, t.started_at, m.owner
),
history as (
    insert into attempt_failures
        (task_id, fence, attempt, worker, started_at, ended_at, outcome, error_type, message)
    select id, fence, attempt, owner, started_at, now(), 'worker_lost', 'WorkerLost',
        'the lease ran out: the worker died or lost its database'
    from lost
    on conflict do nothing
),
announced as (
    insert into outbox (queue, task_ids, due_at, available_at)
    select 'tasks', array_agg(id), now(), now()
    from (select id, (row_number() over () - 1) / 500 as part from lost) parts
    group by part
)
select (select count(*) from expired) as claims, (select count(*) from lost) as tasks;

-- name: hand_on
-- Announce tasks again whose deliveries a worker will not come to. Those no longer QUEUED need no
-- message: whoever owns them brings them back. Ids that do not come back have no row.
-- $1 ids uuid[], $2 claimable_states text[]
with known as (
    select id, state from tasks where id = any($1::uuid[])
),
announced as (
    insert into outbox (queue, task_ids, due_at, available_at)
    select 'tasks', array_agg(id), now(), now()
    from known
    where state = any($2::text[])
    having count(*) > 0
)
select id from known;

-- name: give_back_unknown
-- Return, uncharged, the tasks of claims whose owner never heard of them: the answer was lost.
-- $1 owner text, $2 known_claims bigint[], $3 prior_states text[], $4 state text
with unknown as (
    delete from claims
    where owner = $1 and id <> all($2::bigint[])
    returning task_ids, fences, charges
),
returned as (
    update tasks t
    set state = $4, attempts = attempts - coalesce(m.charge, 1)
    from unknown u, unnest(u.task_ids, u.fences, u.charges) as m (id, fence, charge)
    where t.id = m.id and t.fence = m.fence and t.state = any($3::text[])
    returning t.id
),
announced as (
    insert into outbox (queue, task_ids, due_at, available_at)
    select 'tasks', array_agg(id), now(), now() from returned having count(*) > 0
)
select id from returned;

-- name: bury_rowless
-- Dead-letter a message that names no task: it is listed, and announced on the dead letter queue.
-- $1 task_id uuid
with buried as (
    insert into dead_letters (task_id, reason, failed_at)
    values ($1, 'NoSuchTask', now())
    on conflict do nothing
    returning task_id
)
insert into outbox (queue, task_ids, due_at, available_at)
select 'tasks.dlq', array[task_id], now(), now() from buried;
