package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// The engine sends and reads bytes, numbers and arrays of both, in PostgreSQL's
// binary format, straight over pgconn: the driver's own types for every column
// that there could be would be a thirtieth of the whole program.

// OIDs of the types that are sent.
const (
	oidBytea  = 17
	oidInt8   = 20
	oidByteas = 1001
	oidInt8s  = 1016
)

// batch is statements that go out together and are answered together.
type batch struct {
	statements []statement
}

type statement struct {
	sql  string
	args []any // []byte, int, [][]byte or []int64
}

func (b *batch) queue(sql string, args ...any) {
	b.statements = append(b.statements, statement{sql, args})
}

// binaryResults asks for every column in binary.
var binaryResults = []int16{1}

// sendTo puts the statements on the connection, in one exchange.
func (b *batch) sendTo(ctx context.Context, conn *pgconn.PgConn) *results {
	var wire pgconn.Batch
	for _, s := range b.statements {
		values, oids, formats := make([][]byte, len(s.args)), make([]uint32, len(s.args)), make([]int16, len(s.args))
		for i, arg := range s.args {
			values[i], oids[i] = encode(arg)
			formats[i] = 1
		}
		wire.ExecParams(s.sql, values, oids, formats, binaryResults)
	}
	return &results{conn.ExecBatch(ctx, &wire)}
}

func encode(arg any) (value []byte, oid uint32) {
	switch v := arg.(type) {
	case []byte:
		if v == nil {
			v = []byte{} // nil would be NULL, and no column may be
		}
		return v, oidBytea
	case int:
		return binary.BigEndian.AppendUint64(nil, uint64(v)), oidInt8
	case [][]byte:
		size := 0
		for _, item := range v {
			size += 4 + len(item)
		}
		value = arrayHead(oidBytea, len(v), size)
		for _, item := range v {
			value = append(binary.BigEndian.AppendUint32(value, uint32(len(item))), item...)
		}
		return value, oidByteas
	case []int64:
		value = arrayHead(oidInt8, len(v), 12*len(v))
		for _, item := range v {
			value = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(value, 8), uint64(item))
		}
		return value, oidInt8s
	}
	panic(fmt.Sprintf("postgres: no encoding for a %T", arg)) // a fault of ours, in any test
}

// arrayHead begins an array of one dimension without NULLs.
func arrayHead(element uint32, n, size int) []byte {
	b := make([]byte, 0, 20+size)
	dimensions := uint32(1)
	if n == 0 {
		dimensions = 0
	}
	for _, word := range []uint32{dimensions, 0, element} {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	if n > 0 {
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(n)), 1)
	}
	return b
}

// number decodes an integer of 4 or 8 bytes.
func number(column []byte) (int64, error) {
	switch len(column) {
	case 4:
		return int64(int32(binary.BigEndian.Uint32(column))), nil
	case 8:
		return int64(binary.BigEndian.Uint64(column)), nil
	}
	return 0, fmt.Errorf("an integer of %d bytes", len(column))
}

// results are a batch's answers, in order.
type results struct{ r *pgconn.MultiResultReader }

var errNoAnswer = errors.New("the database answered fewer statements than it was sent")

// next goes to the next statement's answer.
func (r *results) next() (*pgconn.ResultReader, error) {
	if !r.r.NextResult() {
		if err := r.r.Close(); err != nil {
			return nil, err
		}
		return nil, errNoAnswer
	}
	return r.r.ResultReader(), nil
}

// exec takes the answer of a statement without rows, and says how many it changed.
func (r *results) exec() (changed int64, err error) {
	answer, err := r.next()
	if err != nil {
		return 0, err
	}
	tag, err := answer.Close()
	return tag.RowsAffected(), err
}

// rows takes the answer of a query. The columns that take gets are good until it
// returns.
func (r *results) rows(take func(columns [][]byte) error) error {
	answer, err := r.next()
	if err != nil {
		return err
	}
	for answer.NextRow() {
		if err := take(answer.Values()); err != nil {
			_, _ = answer.Close()
			return err
		}
	}
	_, err = answer.Close()
	return err
}

func (r *results) close() error { return r.r.Close() }
