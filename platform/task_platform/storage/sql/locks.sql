-- name: try_lock
-- Whether the lock is ours from now on; held until the transaction ends.
-- $1 key bigint
select pg_try_advisory_xact_lock($1);

-- name: confirm_lock
-- Show that the session which holds a lock is still there, and keep it from being ended as idle.
select 1;
