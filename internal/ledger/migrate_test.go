package ledger

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
)

var update = flag.Bool("update", false, "write the fixtures anew")

// migrations returns the embedded migrations up to a version, 0 for all, and how many there are.
func migrations(t *testing.T, upTo int) (fs.FS, int) {
	t.Helper()
	names, err := fs.Glob(embedded, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	slices.Sort(names)
	some := fstest.MapFS{}
	for n, name := range names {
		if want := fmt.Sprintf("migrations/%05d_", n+1); !strings.HasPrefix(name, want) {
			t.Errorf("%s is not version %d", name, n+1)
		}
		if upTo > 0 && n >= upTo {
			continue
		}
		data, err := embedded.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		some[filepath.Base(name)] = &fstest.MapFile{Data: data}
	}
	return some, len(names)
}

// Each migration turns what its before fixture puts in, at the version before it,
// into what its after fixture shows: schema and rows.
func TestMigrations(t *testing.T) {
	_, count := migrations(t, 0)
	for version := 1; version <= count; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			fixture := func(which string) string { return fmt.Sprintf("testdata/%05d.%s.sql", version, which) }
			dir := t.TempDir()
			if version > 1 {
				some, _ := migrations(t, version-1)
				l, err := open(t.Context(), dir, key, some)
				if err != nil {
					t.Fatal(err)
				}
				before, err := os.ReadFile(fixture("before"))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := l.write.Exec(string(before)); err != nil {
					t.Fatal(err)
				}
				l.Close()
			}
			some, _ := migrations(t, version)
			l, err := open(t.Context(), dir, key, some)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if rows, err := os.ReadFile(fixture("rows")); err == nil { // what this version can hold that none before could
				if _, err := l.write.Exec(string(rows)); err != nil {
					t.Fatal(err)
				}
			}
			got := dump(t, l)
			if *update {
				if err := os.WriteFile(fixture("after"), []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(fixture("after"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the ledger is another (go test -update after a look):\n%s", diff)
			}
		})
	}
}

// dump writes schema and rows of a ledger, in a fixed order.
func dump(t *testing.T, l *Ledger) string {
	t.Helper()
	var b strings.Builder
	var tables []string
	err := l.View(t.Context(), func(tx *Tx) error {
		err := tx.Query(func(scan func(...any) error) error {
			var kind, name, sql string
			if err := scan(&kind, &name, &sql); err != nil {
				return err
			}
			if kind == "table" {
				tables = append(tables, name)
			}
			fmt.Fprintf(&b, "%s;\n", sql)
			return nil
		}, `SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%' ORDER BY type DESC, name`)
		if err != nil {
			return err
		}
		for _, table := range tables {
			rows, err := tx.tx.QueryContext(tx.ctx, `SELECT * FROM `+table+` ORDER BY 1`)
			if err != nil {
				return err
			}
			defer rows.Close()
			columns, err := rows.Columns()
			if err != nil {
				return err
			}
			for rows.Next() {
				values := make([]any, len(columns))
				into := make([]any, len(columns))
				for k := range values {
					into[k] = &values[k]
				}
				if err := rows.Scan(into...); err != nil {
					return err
				}
				fmt.Fprintf(&b, "-- %s:", table)
				for k, v := range values {
					if bytes, ok := v.([]byte); ok {
						v = fmt.Sprintf("%x", bytes)
					}
					fmt.Fprintf(&b, " %s=%v", columns[k], v)
				}
				b.WriteByte('\n')
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Statements are kept to what SQLite and PostgreSQL both speak.
func TestMigrationsSpeakBoth(t *testing.T) {
	onlyOne := regexp.MustCompile(`(?i)\b(autoincrement|serial|pragma|without rowid|strict|blob|datetime|jsonb|integer primary key|if not exists|insert or|glob)\b|\?`)
	all, _ := migrations(t, 0)
	err := fs.WalkDir(all, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(all, path)
		if err != nil {
			return err
		}
		for n, line := range strings.Split(string(data), "\n") {
			statement, _, _ := strings.Cut(line, "--")
			if word := onlyOne.FindString(statement); word != "" {
				t.Errorf("%s:%d: %q is understood by one of the two alone", path, n+1, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// next returns the embedded migrations and one more.
func next(t *testing.T, sql string) fs.FS {
	all, count := migrations(t, 0)
	all.(fstest.MapFS)[fmt.Sprintf("%05d_next.sql", count+1)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)}
	return all
}

func TestCopyBeforeMigration(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	l := openDir(t, dir)
	if err := l.PutSecret(ctx, "a", []byte("before")); err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, count := migrations(t, 0)
	backup := filepath.Join(dir, fmt.Sprintf("%s.before-%d", Name, count+1))

	// A migration that fails leaves the ledger as it was, and the copy.
	if _, err := open(ctx, dir, key, next(t, "DELETE FROM secrets; CREATE TABLE people (id TEXT);")); err == nil {
		t.Fatal("a wrong migration passed")
	}
	l = openDir(t, dir)
	if got, err := l.Secret(ctx, "a"); err != nil || string(got) != "before" {
		t.Errorf("after a failed migration: %q, %v", got, err)
	}
	l.Close()

	l, err := open(ctx, dir, key, next(t, "UPDATE secrets SET name = 'b';"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Secret(ctx, "b"); err == nil { // sealed for "a"
		t.Errorf("a moved secret opens: %q", got)
	}
	l.Close()
	info, err := os.Stat(backup)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the copy: %v, %v", info, err)
	}

	_, err = Open(ctx, dir, key)
	hinted(t, err, hintNewer)

	// The copy put back is the ledger from before.
	for _, name := range []string{Name, Name + "-wal", Name + "-shm"} {
		os.Remove(filepath.Join(dir, name))
	}
	if err := os.Rename(backup, filepath.Join(dir, Name)); err != nil {
		t.Fatal(err)
	}
	l = openDir(t, dir)
	if got, err := l.Secret(ctx, "a"); err != nil || string(got) != "before" {
		t.Errorf("the copy put back: %q, %v", got, err)
	}
}

func TestBackup(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	l := openDir(t, dir)
	if err := l.PutSecret(ctx, "a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	path := filepath.Join(other, Name)
	if err := l.Backup(ctx, path); err != nil {
		t.Fatal(err)
	}
	if err := l.Backup(ctx, path); err == nil {
		t.Error("a backup was written over")
	}
	if got, err := openDir(t, other).Secret(ctx, "a"); err != nil || string(got) != "b" {
		t.Errorf("from the backup: %q, %v", got, err)
	}
}

// The way down is written too, for whoever has to go back by hand.
func TestDown(t *testing.T) {
	l := openDir(t, t.TempDir())
	all, _ := migrations(t, 0)
	p, err := goose.NewProvider(goose.DialectSQLite3, l.write, all)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if left := dump(t, l); left != "" {
		t.Errorf("left:\n%s", left)
	}
}
