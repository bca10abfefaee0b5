package main

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
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
