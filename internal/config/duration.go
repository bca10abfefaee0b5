package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// errDuration is how a length of time is written.
var errDuration = errors.New(`a length of time is written like "90s", "10m", "36h" or "30d"`)

// UnmarshalText reads "10m", "1h30m" or, for whole days, "30d".
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return errDuration
		}
		*d = Duration(time.Duration(n) * day)
		return nil
	}
	t, err := time.ParseDuration(s)
	if err != nil || t < 0 {
		return errDuration
	}
	*d = Duration(t)
	return nil
}

// MarshalText writes what UnmarshalText reads as the same.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is the shortest form: whole days as days, no trailing zero parts.
func (d Duration) String() string {
	t := time.Duration(d)
	if t >= day && t%day == 0 {
		return fmt.Sprintf("%dd", t/day)
	}
	s := t.String()
	if t == 0 || t < time.Second {
		return s
	}
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
