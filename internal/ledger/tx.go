package ledger

import (
	"context"
	"database/sql"
	"errors"
)

// ErrNotFound is returned where what was asked for is not in the ledger.
var ErrNotFound = errors.New("ledger: not found")

// Tx is a transaction. It is valid until the function that it was given to returns.
type Tx struct {
	ctx    context.Context
	tx     *sql.Tx
	ledger *Ledger
}

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(query string, args ...any) (rows int64, err error) {
	result, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, explain("write", t.ledger.path, err)
	}
	return result.RowsAffected()
}

// Query runs a query and calls row for each row of the answer; scan reads the
// row's columns into what it is given, as sql.Rows.Scan does. An error of row
// ends the query and is returned.
func (t *Tx) Query(row func(scan func(dest ...any) error) error, query string, args ...any) error {
	rows, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return explain("read", t.ledger.path, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return explain("read", t.ledger.path, err)
	}
	return nil
}

// One reads the columns of a query's first row into dest; ErrNotFound if there is none.
func (t *Tx) One(dest []any, query string, args ...any) error {
	err := t.tx.QueryRowContext(t.ctx, query, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return explain("read", t.ledger.path, err)
	}
	return nil
}
