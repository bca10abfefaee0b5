package gateway

import (
	"testing"
	"time"
)

// A write that does not end is seen, one that waits for something to say is not.
func TestStall(t *testing.T) {
	var s stall
	now := time.Now()
	if s.over(now.Add(time.Hour)) {
		t.Error("over before it began")
	}
	s.begin()
	if s.over(time.Now()) || !s.over(time.Now().Add(writeTimeout+time.Second)) {
		t.Error("not over when it should be, or too soon")
	}
	s.end()
	if s.over(now.Add(time.Hour)) {
		t.Error("over after its end")
	}
}
