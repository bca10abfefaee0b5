-- Version 4: moving in. What was found that Home Assistant lets in and nobody was given
-- yet, and what was given: it counts at home without a cookie.

-- +goose Up
CREATE TABLE residents (
    id           TEXT PRIMARY KEY,
    kind         TEXT NOT NULL,
    ha_user_id   TEXT NOT NULL, -- empty where it has none, or it is not known
    ha_user_name TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    issuer       TEXT NOT NULL, -- HA's id of the refresh token
    name         TEXT NOT NULL,
    registration TEXT NOT NULL, -- the app's own id of its device
    addr         TEXT NOT NULL,
    first_seen   BIGINT NOT NULL,
    last_seen    BIGINT NOT NULL,
    left_out     BIGINT NOT NULL -- 1 where the owner said so
);

CREATE TABLE resident_secrets (
    hash        BYTEA NOT NULL,
    resident_id TEXT NOT NULL REFERENCES residents (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL CHECK (kind IN ('refresh', 'access', 'webhook')),
    issuer      TEXT NOT NULL, -- of a refresh or access token
    expires     BIGINT NOT NULL, -- of an access token; otherwise 0
    PRIMARY KEY (resident_id, hash)
);

CREATE TABLE sources (
    addr      TEXT PRIMARY KEY, -- counts at home alone
    device_id TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE
);
CREATE INDEX sources_device ON sources (device_id);

ALTER TABLE refresh_tokens ADD COLUMN given BIGINT NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN automation BIGINT NOT NULL DEFAULT 0; -- not an app's
ALTER TABLE webhooks ADD COLUMN outside BIGINT NOT NULL DEFAULT 1; -- may be called from elsewhere than home
ALTER TABLE webhooks ADD COLUMN methods TEXT NOT NULL DEFAULT ''; -- with commas; empty means any
ALTER TABLE webhooks ADD COLUMN per_minute BIGINT NOT NULL DEFAULT 0; -- calls; 0 means as many as an app may

-- +goose Down
ALTER TABLE webhooks DROP COLUMN per_minute;
ALTER TABLE webhooks DROP COLUMN methods;
ALTER TABLE webhooks DROP COLUMN outside;
ALTER TABLE webhooks DROP COLUMN automation;
ALTER TABLE refresh_tokens DROP COLUMN given;
DROP TABLE sources;
DROP TABLE resident_secrets;
DROP TABLE residents;
