-- Version 6: certificates from public authorities, and what it takes to get them.

-- +goose Up
CREATE TABLE leases (
    name    TEXT PRIMARY KEY, -- of what one gateway does at a time
    holder  TEXT NOT NULL,
    fence   BIGINT NOT NULL, -- goes up with every holder, so that an old one is known
    expires BIGINT NOT NULL
);

CREATE TABLE acme_accounts (
    issuer     TEXT PRIMARY KEY, -- the address of its directory
    url        TEXT NOT NULL,
    key_sealed BYTEA NOT NULL,
    created    BIGINT NOT NULL
);

CREATE TABLE certificates (
    name       TEXT PRIMARY KEY, -- ha.example.org, or *.example.org
    issuer     TEXT NOT NULL,
    chain      TEXT NOT NULL, -- PEM, its own certificate first
    key_sealed BYTEA NOT NULL,
    fence      BIGINT NOT NULL, -- of the lease under which it was got
    renew      BIGINT NOT NULL, -- when to get the next
    ask        BIGINT NOT NULL, -- when to ask the issuer again when that is
    created    BIGINT NOT NULL
);

CREATE TABLE certificate_tries (
    name     TEXT NOT NULL,
    issuer   TEXT NOT NULL, -- empty for what fails before one is asked
    staged   BIGINT NOT NULL, -- when its staging side issued for the name; 0 if it has not
    failures BIGINT NOT NULL, -- since the last success
    next     BIGINT NOT NULL, -- not before
    why      TEXT NOT NULL,
    hint     TEXT NOT NULL,
    PRIMARY KEY (name, issuer)
);

CREATE TABLE challenge_records (
    name    TEXT NOT NULL, -- where in the zone
    text    TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (name, text)
);

CREATE TABLE expiry_warnings (
    certificate TEXT PRIMARY KEY,
    until       BIGINT NOT NULL,
    days        BIGINT NOT NULL -- the last warning was this long before
);

-- +goose Down
DROP TABLE expiry_warnings;
DROP TABLE challenge_records;
DROP TABLE certificate_tries;
DROP TABLE certificates;
DROP TABLE acme_accounts;
DROP TABLE leases;
