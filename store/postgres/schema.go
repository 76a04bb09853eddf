package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/chatelaine-id/chatelaine/store"
)

// schema has the statements that lead from each version to the next.
var schema = []string{
	`create table chatelaine_records (
		site bytea not null, kind bytea not null, key bytea not null,
		value bytea not null, expires bigint not null, -- milliseconds since 1970, 0: never
		primary key (site, kind, key));
	create table chatelaine_outcomes (id bytea primary key);
	alter table chatelaine_records set (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05)`,
}

// schemaLock is held, in a transaction, by the one node that looks after the
// schema.
const schemaLock = 0x63686174

// makeSchema makes or upgrades the tables.
func (s *Store) makeSchema(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := s.pool.acquire(ctx)
	if err != nil {
		return fmt.Errorf("its schema: %w", unavailable(err))
	}
	defer c.release() // which ends a connection whose transaction is open, and that with it
	err = c.upgrade(ctx)
	if err != nil {
		return fmt.Errorf("its schema: %w", unavailable(err))
	}
	return nil
}

// upgrade leads the schema to the newest version, in one transaction.
func (c *conn) upgrade(ctx context.Context) error {
	for _, sql := range []string{
		"begin", fmt.Sprintf("select pg_advisory_xact_lock(%d)", schemaLock), "create table if not exists chatelaine_schema (version int not null)",
	} {
		if err := c.Exec(ctx, sql).Close(); err != nil {
			return err
		}
	}
	var version int64
	err := c.do(ctx, "select coalesce(max(version), 0) from chatelaine_schema", nil, func(r *results) error {
		return r.rows(func(columns [][]byte) (err error) {
			version, err = number(columns[0])
			return err
		})
	})
	switch {
	case err != nil:
		return err
	case version > int64(len(schema)):
		return fmt.Errorf("a newer version of chatelaine wrote it (schema %d, this one knows %d)", version, len(schema))
	}
	for v := int(version); v < len(schema); v++ {
		if err := c.Exec(ctx, fmt.Sprintf("%s; insert into chatelaine_schema values (%d)", schema[v], v+1)).Close(); err != nil {
			return err
		}
	}
	return c.Exec(ctx, "commit").Close()
}

// ErrAsync says that the server may lose what it acknowledged.
var ErrAsync = errors.New("it may lose acknowledged writes")

// checkDurability asks for synchronous commits, and with a standby for ones
// that the standby has too.
func (s *Store) checkDurability(ctx context.Context, allowAsync bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var commit, names, fsync string
	var standbys int64
	err := s.pool.do(ctx, `select current_setting('synchronous_commit'), current_setting('synchronous_standby_names', true),
		current_setting('fsync'), (select count(*) from pg_stat_replication)`, nil, func(r *results) error {
		return r.rows(func(columns [][]byte) (err error) {
			commit, names, fsync = string(columns[0]), string(columns[1]), string(columns[2])
			standbys, err = number(columns[3])
			return err
		})
	})
	switch {
	case err != nil:
		return unavailable(err)
	case allowAsync:
		return nil
	case commit == "off" || fsync == "off":
		return fmt.Errorf("%w: synchronous_commit is %s and fsync %s", ErrAsync, commit, fsync)
	case standbys > 0 && (names == "" || commit == "local"):
		return fmt.Errorf("%w: there is a standby, and commits do not wait for it (set synchronous_standby_names and synchronous_commit=on)", ErrAsync)
	}
	return nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", store.ErrUnavailable, err) }
