-- How many seconds a caller of introspection may keep an active answer (the answer's exp says so); none
-- where an app may keep it until the session expires, as apps made before this column could.
ALTER TABLE app_sign_ins ADD COLUMN introspection_cache_s BIGINT;

-- The refresh token that an access token was given with, and when the access token was used first: a
-- refresh token is not taken again once anything that came of it was used.
ALTER TABLE tokens ADD COLUMN refresh_hash TEXT {bytewise};
ALTER TABLE tokens ADD COLUMN first_used_at BIGINT;
CREATE INDEX tokens_by_refresh ON tokens (refresh_hash) WHERE refresh_hash IS NOT NULL;
