package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/internal/ledger"
)

// scriptOnionSecrets looks into the ledger beside the server that writes it.
func scriptOnionSecrets(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	dir, ctx := ts.MkAbs("state"), context.Background()
	key, err := ledger.LoadKey(filepath.Join(dir, ledger.KeyName))
	ts.Check(err)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		l, err := ledger.Open(ctx, dir, key)
		ts.Check(err)
		kept := 0
		err = l.View(ctx, func(tx *ledger.Tx) error {
			return tx.One([]any{&kept}, `SELECT COUNT(*) FROM secrets WHERE name LIKE 'onion/%'`)
		})
		ts.Check(errors.Join(err, l.Close()))
		if kept == want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%d secrets are kept, want %d", kept, want)
		}
	}
}

// A tor that complains without end fills no log of ours.
func TestTorDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		l := &torLog{log: slog.New(slog.NewTextHandler(&said, nil))}
		complain := func() {
			for i := range 1000 {
				fmt.Fprintf(l, "Nov 26 14:05:%02d.000 [warn] No available nodes\nNov 26 14:05:%02d.000 [warn] Anoth", i%60, i%60)
				fmt.Fprint(l, "er\n")
			}
		}
		complain()
		if got := said.String(); strings.Count(got, "No available nodes") != 1 || strings.Count(got, "tor says: Another") != 1 {
			t.Errorf("%s", got)
		}
		time.Sleep(torSaysAgain)
		complain()
		if got := strings.Count(said.String(), "No available nodes"); got != 2 {
			t.Errorf("after an hour it was said %d times", got)
		}
		fmt.Fprint(l, strings.Repeat("x", 1<<20)+"\n")
		if said.Len() > 4096 {
			t.Errorf("%d bytes were written", said.Len())
		}
		if got := l.String(); len(got) > tailSize {
			t.Errorf("%d bytes are kept", len(got))
		}
	})
}
