package checks

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
)

// No finding shows a secret of Home Assistant's, wherever it stands and however badly.
func TestNoSecretIsShown(t *testing.T) {
	const secret = "Zq7Xv9Kw2Lm4Np6Rt8"
	drawing := strings.ReplaceAll(`-- config/.HA_VERSION --
2026.2.3
-- config/secrets.yaml --
a: SECRET
b: [SECRET
-- config/configuration.yaml --
http:
  server_host: 127.0.0.1
rest: {password: SECRET, token: SECRET, authorization: "Bearer SECRET", verify_ssl: false}
recorder: {db_url: "mysql://ha:SECRET@localhost/ha"}
shell_command: {x: "curl -H SECRET {{ a }}"}
rest_command: {x: {url: "https://olga:SECRET@{{ host }}/"}}
command_line: [{sensor: {command: "mail -p SECRET {{ b }}"}}]
google_assistant: {private_key: "-----BEGIN PRIVATE KEY-----SECRET"}
automation: [{trigger: {platform: webhook, webhook_id: SECRETabc, local_only: false}, action: {action: shell_command.x, data: {a: "SECRET {{ 1 }}"}}}]
homeassistant: {auth_providers: [{type: insecure_example, users: [{username: u, password: SECRET}]}]}
-- config/esphome/x.yaml --
ota: {password: SECRET}
-- config/.storage/auth --
{"key": "auth", "data": {"users": [{"id": "a", "name": "Olga", "is_owner": true, "is_active": false}], "refresh_tokens": [
{"user_id": "a", "token": "SECRET", "jwt_key": "SECRET", "token_type": "long_lived_access_token", "last_used_ip": "203.0.113.1", "created_at": "2020-01-01T00:00:00.000000+00:00"}]}}
-- config/.storage/auth_provider.homeassistant --
{"key": "auth_provider.homeassistant", "data": {"users": [{"username": "olga", "password": "SECRET"}]}}
-- config/.storage/auth_module.totp --
{"key": "auth_module.totp", "data": {"users": {"a": "SECRET"}}}
-- config/.storage/core.config --
{"key": "core.config", "data": {"external_url": "http://olga:SECRET@home.example.org"}}
-- config/.storage/core.config_entries --
{"key": "core.config_entries", "data": {"entries": [{"domain": "unifi", "data": {"password": "SECRET", "verify_ssl": false}}]}}
-- config/.storage/cloud --
{"key": "cloud", "data": {"google_secure_devices_pin": "SECRET", "remote_enabled": true}}
-- config/.storage/backup --
{"key": "backup", "data": {"config": {"create_backup": {"password": "SECRET"}}}}
-- config/.storage/homeassistant.exposed_entities --
{"key": "SECRET"
-- config/www/x.pem --
SECRET
-- etc/nginx/conf.d/x.conf --
proxy_pass http://olga:SECRET@127.0.0.1:8123;
-- etc/cloudflared/config.yml --
service: http://olga:SECRET@localhost:8123
-- etc/systemd/system/ha.service --
[Service]
ExecStart=/srv/ha/bin/hass --token SECRET
Environment=TOKEN=SECRET
`, "SECRET", secret)
	for name, drawing := range map[string]string{"whole": drawing, "half": strings.ReplaceAll(drawing, "}}", "")} {
		tree, err := facts.Draw(drawing)
		if err != nil {
			t.Fatal(err)
		}
		h := &facts.Host{Tree: tree, Root: true, HADir: "/config", Now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
		for _, f := range audit.Run(h, All(), nil) {
			text, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), secret) {
				t.Errorf("%s: %s shows a secret: %s", name, f.ID, text)
			}
		}
	}
}
