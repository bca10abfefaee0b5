package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		value         string
		bytes         int64
		age           time.Duration
		network, addr string
	}{
		{"", 64 << 20, 0, "", ""},
		{`keep = "1MiB"`, 1 << 20, 0, "", ""},
		{`keep = "2GiB 90d"`, 2 << 30, 90 * day, "", ""},
		{`keep = "90d"`, 0, 90 * day, "", ""},
		{`keep = "1024GiB"`, 1 << 40, 0, "", ""},
		{`metrics = "127.0.0.1:9184"`, 64 << 20, 0, "tcp", "127.0.0.1:9184"},
		{`metrics = "[::1]:9184"`, 64 << 20, 0, "tcp", "[::1]:9184"},
		{`metrics = "unix:/run/m.sock"`, 64 << 20, 0, "unix", "/run/m.sock"},
	} {
		got, err := Parse("x.toml", []byte(small+"[events]\n"+c.value+"\n"))
		if err != nil {
			t.Errorf("%s: %v", c.value, err)
			continue
		}
		bytes, age := got.Events.Kept()
		network, addr := got.Events.MetricsAt()
		if bytes != c.bytes || age != c.age || network != c.network || addr != c.addr {
			t.Errorf("%s: %d, %s, %s %s", c.value, bytes, age, network, addr)
		}
	}
}

// Metrics stay on this machine, and what is kept has a bound.
func TestEventsRefused(t *testing.T) {
	for value, hold := range map[string]string{
		`metrics = "0.0.0.0:9184"`:                           "for this machine alone",
		`metrics = "192.168.1.2:9184"`:                       "for this machine alone",
		`metrics = "[::]:9184"`:                              "for this machine alone",
		`metrics = ":9184"`:                                  "not an address with a port",
		`metrics = "localhost:9184"`:                         "not an address with a port",
		`metrics = "127.0.0.1"`:                              "not an address with a port",
		`metrics = "127.0.0.1:0"`:                            "not an address with a port",
		`metrics = "unix:m.sock"`:                            "begins with /",
		`metrics = "unix:/run/gatehouse/control.sock"`:       "the control socket",
		`metrics = "unix:/` + strings.Repeat("a", 120) + `"`: "longer than",
		`keep = "64"`:                                        "no size or number of days",
		`keep = "64MB"`:                                      "no size or number of days",
		`keep = "0MiB"`:                                      "no size or number of days",
		`keep = "-1d"`:                                       "no size or number of days",
		`keep = "1MiB 2MiB"`:                                 "no size or number of days",
		`keep = "1d 1MiB 1d"`:                                "no size or number of days",
		`keep = "99999999999999999999d"`:                     "no size or number of days",
		`keep = "2000GiB"`:                                   "no size or number of days",
	} {
		_, err := Parse("x.toml", []byte(small+"[events]\n"+value+"\n"))
		var wrong *Error
		if !errors.As(err, &wrong) || len(wrong.Problems) != 1 || wrong.Problems[0].Line != 5 || !strings.Contains(wrong.Problems[0].Message, hold) {
			t.Errorf("%s: %v", value, err)
		}
	}
}
