-- What people sign in with. Passwords stand here only as Argon2id, one-time links only as SHA-256.
CREATE TABLE passwords (
    user_id       TEXT {bytewise} PRIMARY KEY,
    password_hash TEXT NOT NULL,
    set_at        BIGINT NOT NULL
);

-- A second factor (RFC 6238). Its secret is needed in clear at each sign-in. last_step is the newest
-- step whose code was taken: no code is taken twice.
CREATE TABLE second_factors (
    user_id      TEXT {bytewise} PRIMARY KEY,
    secret       TEXT NOT NULL,
    confirmed_at BIGINT,
    last_step    BIGINT NOT NULL
);

CREATE TABLE password_links (
    link_hash  TEXT {bytewise} PRIMARY KEY,
    user_id    TEXT {bytewise} NOT NULL,
    expires_at BIGINT NOT NULL
);

-- People at outside OpenID providers.
CREATE TABLE identities (
    iss      TEXT {bytewise} NOT NULL,
    sub      TEXT {bytewise} NOT NULL,
    user_id  TEXT {bytewise} NOT NULL,
    bound_at BIGINT NOT NULL,
    PRIMARY KEY (iss, sub)
) {without_rowid};
CREATE UNIQUE INDEX identities_by_user ON identities (user_id, iss);

-- Sign-ins under way: what was shown already (user_id), or what an outside provider's answer is checked
-- with (provider, nonce, verifier). The browser that began one holds the key.
CREATE TABLE pending_sign_ins (
    pending_hash TEXT {bytewise} PRIMARY KEY,
    user_id      TEXT {bytewise},
    generation   BIGINT NOT NULL,
    provider     TEXT,
    nonce        TEXT,
    verifier     TEXT,
    return_to    TEXT NOT NULL,
    attempts     BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX pending_sign_ins_by_expiry ON pending_sign_ins (expires_at);

-- Who needs a second factor in an enterprise: those who manage (managers), or everyone; without a row
-- nobody must.
CREATE TABLE sign_in_policies (
    enterprise_id TEXT {bytewise} PRIMARY KEY,
    second_factor TEXT NOT NULL
);

-- What an app is besides its row: where a browser may be sent back to after a sign-in (a JSON list),
-- whether it is a public client that keeps no secret, when its secret was made anew, and when it was
-- given a token last. In a table of its own, because older binaries read every column of apps.
CREATE TABLE app_sign_ins (
    client_id         TEXT {bytewise} PRIMARY KEY,
    redirect_uris     TEXT NOT NULL,
    public_at         BIGINT,
    secret_rotated_at BIGINT,
    last_used_at      BIGINT
);
CREATE INDEX apps_by_enterprise ON apps (enterprise_id, client_id);

-- What a person granted to an app: the family of a code, its refresh tokens and its access tokens.
CREATE TABLE grants (
    grant_id   TEXT {bytewise} PRIMARY KEY,
    client_id  TEXT {bytewise} NOT NULL,
    user_id    TEXT {bytewise} NOT NULL,
    scopes     TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX grants_by_user ON grants (user_id);
CREATE INDEX grants_by_expiry ON grants (expires_at);

CREATE TABLE authorization_codes (
    code_hash    TEXT {bytewise} PRIMARY KEY,
    grant_id     TEXT {bytewise} NOT NULL,
    redirect_uri TEXT,
    challenge    TEXT,
    expires_at   BIGINT NOT NULL,
    used_at      BIGINT
);
CREATE INDEX authorization_codes_by_grant ON authorization_codes (grant_id);
CREATE INDEX authorization_codes_by_expiry ON authorization_codes (expires_at);

-- Each refresh token knows the one that it replaced.
CREATE TABLE refresh_tokens (
    token_hash  TEXT {bytewise} PRIMARY KEY,
    grant_id    TEXT {bytewise} NOT NULL,
    parent_hash TEXT {bytewise},
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT
);
CREATE INDEX refresh_tokens_by_parent ON refresh_tokens (parent_hash);
CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

ALTER TABLE tokens ADD COLUMN grant_id TEXT {bytewise};
CREATE INDEX tokens_by_grant ON tokens (grant_id);

-- The token that one was made of with fewer scopes: it dies with that.
ALTER TABLE tokens ADD COLUMN subject_hash TEXT {bytewise};
CREATE INDEX tokens_by_subject ON tokens (subject_hash);

-- The console finds people by the beginning of their name.
CREATE INDEX users_by_name ON users (enterprise_id, name_folded, user_id);
