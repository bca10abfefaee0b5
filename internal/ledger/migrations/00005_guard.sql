-- Version 5: the guard. Who is not listened to and until when, how often that happened, and
-- what the owner banned and allowed: so that a restart frees nobody.

-- +goose Up
CREATE TABLE guard (
    about        TEXT NOT NULL, -- guard's type of a record
    subject      TEXT NOT NULL, -- a prefix; of an account a keyed hash of what was typed
    level        BIGINT NOT NULL, -- how often it was banned or slowed, less its quiet days
    long_count   DOUBLE PRECISION NOT NULL, -- failures over days
    since        BIGINT NOT NULL,
    ends         BIGINT NOT NULL, -- 0 where it does not end by itself
    last_failure BIGINT NOT NULL,
    kind         TEXT NOT NULL, -- of the last failure
    banned_by    TEXT NOT NULL,
    addr         TEXT NOT NULL, -- where the last failure came from
    why          TEXT NOT NULL,
    sealed       BYTEA, -- of an account all of the record: people type passwords where names belong
    PRIMARY KEY (about, subject)
);

-- +goose Down
DROP TABLE guard;
