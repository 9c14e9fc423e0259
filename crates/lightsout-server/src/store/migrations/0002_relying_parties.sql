-- Sessions at OpenID Connect relying parties, as they were registered at sign-in: what logout tokens
-- name. Keyed by user as well, so that nobody takes another's sid by registering it first.
CREATE TABLE oidc_sessions (
    user_id      TEXT {bytewise} NOT NULL,
    iss          TEXT {bytewise} NOT NULL,
    client_id    TEXT {bytewise} NOT NULL,
    sid          TEXT {bytewise} NOT NULL,
    sub          TEXT NOT NULL,
    began_at     BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    delivered_at BIGINT,
    PRIMARY KEY (user_id, iss, client_id, sid)
) {without_rowid};
CREATE INDEX oidc_sessions_by_expiry ON oidc_sessions (expires_at);
