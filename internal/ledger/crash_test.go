package ledger

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A process that acknowledges writes is killed in the middle of them, again and
// again: nothing that it acknowledged is lost, and nothing is there by halves.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	dir := t.TempDir()
	openDir(t, dir).Close()
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	acknowledged := 0
	for round := range rounds {
		acknowledged = max(acknowledged, killWriter(t, dir))
		l := openDir(t, dir)
		var pairs, last int
		err := l.View(t.Context(), func(tx *Tx) error {
			if err := tx.One([]any{&pairs}, `SELECT count(*) FROM secrets WHERE name LIKE 'a%'`); err != nil {
				return err
			}
			return tx.One([]any{&last}, `SELECT count(*) FROM secrets WHERE name LIKE 'b%'`)
		})
		if err != nil {
			t.Fatal(err)
		}
		if pairs < acknowledged {
			t.Fatalf("round %d: %d were acknowledged, %d are there", round, acknowledged, pairs)
		}
		if pairs != last {
			t.Fatalf("round %d: %d first halves and %d second halves", round, pairs, last)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if acknowledged < rounds {
		t.Errorf("only %d writes in %d rounds: the test shows nothing", acknowledged, rounds)
	}
	t.Logf("%d acknowledged writes in %d rounds, none lost", acknowledged, rounds)
}

// A killed process does not show what a power cut would: that a commit waits for the
// disk is SQLite's promise, for these settings on the connection that writes.
func TestSettings(t *testing.T) {
	l := openDir(t, t.TempDir())
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "trusted_schema": "0"} {
		var got string
		if err := l.write.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", pragma, got, err, want)
		}
	}
}

// killWriter runs a writer for a random while, kills it, and returns the last
// number that it acknowledged.
func killWriter(t *testing.T, dir string) (acknowledged int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "GATEHOUSE_TEST_WRITER="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() { // it has begun
		t.Fatal("the writer did not begin")
	}
	time.AfterFunc(time.Duration(rand.IntN(30_000))*time.Microsecond, func() { child.Process.Kill() })
	for lines.Scan() {
		if n, err := strconv.Atoi(lines.Text()); err == nil { // the last line may be cut
			acknowledged = max(acknowledged, n)
		}
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the writer was not killed: %v", err)
	}
	return acknowledged
}

// writeUntilKilled is the child: it writes pairs of rows and prints the number of
// each pair after the ledger has acknowledged it.
func writeUntilKilled(dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx := context.Background()
	l, err := Open(ctx, dir, key)
	if err != nil {
		fail(err)
	}
	var n int
	if err := l.View(ctx, func(tx *Tx) error { return tx.One([]any{&n}, `SELECT count(*) FROM secrets WHERE name LIKE 'a%'`) }); err != nil {
		fail(err)
	}
	io.WriteString(os.Stdout, "begun\n")
	for {
		n++
		err := l.Update(ctx, func(tx *Tx) error {
			for _, half := range []string{"a", "b"} {
				if _, err := tx.Exec(`INSERT INTO secrets (name, sealed) VALUES ($1, $2)`, half+strconv.Itoa(n), make([]byte, 3000)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			fail(err)
		}
		fmt.Println(n)
	}
}
