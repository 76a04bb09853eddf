package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

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
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(schemaLock)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "create table if not exists chatelaine_schema (version int not null)"); err != nil {
			return err
		}
		var version int
		err := tx.QueryRow(ctx, "select coalesce(max(version), 0) from chatelaine_schema").Scan(&version)
		switch {
		case err != nil:
			return err
		case version > len(schema):
			return fmt.Errorf("a newer version of chatelaine wrote it (schema %d, this one knows %d)", version, len(schema))
		}
		for v := version; v < len(schema); v++ {
			if _, err := tx.Exec(ctx, schema[v], pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "insert into chatelaine_schema values ($1)", v+1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("its schema: %w", unavailable(err))
	}
	return nil
}

// ErrAsync says that the server may lose what it acknowledged.
var ErrAsync = errors.New("it may lose acknowledged writes")

// checkDurability asks for synchronous commits, and with a standby for ones
// that the standby has too.
func (s *Store) checkDurability(ctx context.Context, allowAsync bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var commit, names, fsync string
	var standbys int
	err := s.pool.QueryRow(ctx, `select current_setting('synchronous_commit'), current_setting('synchronous_standby_names', true),
		current_setting('fsync'), (select count(*) from pg_stat_replication)`).Scan(&commit, &names, &fsync, &standbys)
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
