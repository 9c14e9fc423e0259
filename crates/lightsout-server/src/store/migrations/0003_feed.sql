-- Whom a barrier names, as apps know the person, as long as a session from before it may live. An
-- older binary leaves these columns empty.
ALTER TABLE barriers ADD COLUMN enterprise_id TEXT;
ALTER TABLE barriers ADD COLUMN login TEXT;
ALTER TABLE barriers ADD COLUMN external_id TEXT;

-- The few who are no plain users: a group is checked by them alone.
CREATE INDEX users_managers ON users (user_id) WHERE role <> 'user';

-- An ended session's row stays until it would have expired, emptied: its id stays refused.
ALTER TABLE sessions ADD COLUMN ended_at BIGINT;
{room_for_updates sessions}

-- The events that every node's index follows by position; store/changes.rs asks in the same words.
CREATE INDEX events_changes ON events (position)
WHERE event_type IN ('SESSION_TERMINATION_REQUESTED', 'SESSION_ENDED', 'EDIT_USER', 'DELETE_USER', 'TOKEN_REVOKED', 'GENERATIONS_RAISED');
