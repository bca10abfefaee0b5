package event

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// A process that writes events is killed in the middle of it, again and again: what it
// had sealed is there, and nothing looks like tampering.
func TestKilledWriter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	sealed := 0
	for round := range rounds {
		sealed = max(sealed, killWriter(t, dir))
		if sealed == 0 {
			continue
		}
		r := check(t, dir, Whole)
		if got := len(details(t, dir, SignedIn)); r.Pruned == 0 && r.First == 1 && got < sealed {
			t.Fatalf("round %d: %d were sealed, %d are there", round, sealed, got)
		}
	}
	c := testChain(t, dir)
	happened(t, c, 0, 1)
	r := check(t, dir, Whole)
	if sealed < rounds {
		t.Errorf("only %d events in %d rounds: the test shows nothing", sealed, rounds)
	}
	t.Logf("%d events in %d rounds, %d segments", sealed, rounds, r.Segments)
}

// killWriter has another process write events, kills it, and returns how many there
// were, by what it said when they were sealed.
func killWriter(t *testing.T, dir string) (sealed int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GATEHOUSE_TEST_WRITE_EVENTS="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Duration(5+rand.IntN(60))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if sealed, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait() // it was killed
	return sealed
}

// writeUntilKilled is the process that is killed.
func writeUntilKilled(dir string) {
	c, err := NewChain(ChainConfig{Dir: dir, Sealer: ours})
	if err != nil {
		panic(err)
	}
	c.segment = 16 << 10 // so that there are many
	go func() { _ = c.Run(context.Background()) }()
	count := 0
	if r, err := OpenReader(dir, time.Time{}); err == nil {
		if err := r.Read(func(e Event) bool {
			if e.Kind == SignedIn {
				count++
			}
			return true
		}); err != nil {
			panic(err)
		}
	}
	for {
		for range 1 + rand.IntN(10) {
			c.Append(Event{Time: time.Now().UTC(), Kind: SignedIn})
			count++
		}
		if err := c.Sync(); err != nil {
			panic(err)
		}
		fmt.Println(count)
	}
}
