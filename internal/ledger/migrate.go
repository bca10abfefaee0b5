package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
)

// migrate brings the schema up to date. What is there already is copied first.
func (l *Ledger) migrate(ctx context.Context, migrations fs.FS) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, l.write, migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return err
	case current == target:
		return nil
	case current > target:
		return fmt.Errorf("%w (version %d; this one knows %d)", errNewer, current, target)
	}
	if current > 0 && l.path != "" {
		if err := l.copyTo(ctx, fmt.Sprintf("%s.before-%d", l.path, target)); err != nil {
			return fmt.Errorf("copy before migrating: %w", err)
		}
	}
	_, err = p.Up(ctx)
	return err
}

// copyTo writes a consistent copy of the ledger to a new file. A copy of that name
// that is there already, from a migration that was broken off, is kept: it is the older one.
func (l *Ledger) copyTo(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".copy-*") // mode 0600; SQLite accepts an empty file
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := l.write.ExecContext(ctx, "VACUUM INTO $1", f.Name()); err != nil {
		return err
	}
	if err := errors.Join(give(f, dir), f.Sync()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// Backup writes a consistent copy of the ledger to a new file, mode 0600. Secrets
// in it stay sealed: it is worth nothing without the key, and not everything with it.
func (l *Ledger) Backup(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err == nil {
		return explain("back up", path, os.ErrExist)
	}
	if err := l.copyTo(ctx, path); err != nil {
		return explain("back up", path, err)
	}
	return nil
}
