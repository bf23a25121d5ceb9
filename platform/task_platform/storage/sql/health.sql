-- name: accepts_writes
-- Whether this server takes writes from a new transaction: not in recovery, not read-only.
select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off';

-- name: database_now
-- The time by which everything is stamped.
select now() as now;
