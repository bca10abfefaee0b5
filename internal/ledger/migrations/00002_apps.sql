-- Version 2: what companion apps have beside tokens: the webhook that HA gave them.
-- A row stays when its device is revoked, so that the webhook is refused for ever.

-- +goose Up
CREATE TABLE webhooks (
    hash         BYTEA PRIMARY KEY,
    device_id    TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    ha_user_id   TEXT NOT NULL, -- whose rights it has in Home Assistant
    registration TEXT NOT NULL, -- the app's own id of its device, by which HA's registry knows it
    created      BIGINT NOT NULL,
    removed      BIGINT NOT NULL -- 0 while HA's registration is there, as far as we know
);
CREATE INDEX webhooks_device ON webhooks (device_id);

-- +goose Down
DROP TABLE webhooks;
