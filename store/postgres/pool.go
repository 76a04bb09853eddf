package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// Limits of the connections, where the URL does not say otherwise.
const (
	maxConns = 16
	connLife = time.Hour
	connIdle = 30 * time.Minute
	askAfter = time.Second // an idle connection is asked whether it is still there
)

// pool keeps connections for the next transaction.
type pool struct {
	*puddle.Pool[*pgconn.PgConn]
	host string
	life time.Duration
	idle time.Duration
}

// conn is a connection in use.
type conn struct {
	*pgconn.PgConn
	of *puddle.Resource[*pgconn.PgConn]
}

// newPool reads the URL; nothing is connected yet.
func newPool(url string) (*pool, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnectTimeout = connectTimeout
	p := &pool{host: config.Host, life: connLife, idle: connIdle}
	size, err := p.parameters(config.RuntimeParams)
	if err != nil {
		return nil, err
	}
	p.Pool, err = puddle.NewPool(&puddle.Config[*pgconn.PgConn]{
		MaxSize:     size,
		Constructor: func(ctx context.Context) (*pgconn.PgConn, error) { return pgconn.ConnectConfig(ctx, config.Copy()) },
		Destructor: func(c *pgconn.PgConn) {
			ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
			defer cancel()
			_ = c.Close(ctx)
		},
	})
	return p, err
}

// parameters takes what is the pool's out of the URL's parameters; the server gets
// the others.
func (p *pool) parameters(given map[string]string) (size int32, err error) {
	size = maxConns
	for name, text := range given {
		if !strings.HasPrefix(name, "pool_") {
			continue
		}
		delete(given, name)
		switch name {
		case "pool_max_conns":
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || n < 1 {
				return 0, fmt.Errorf("%s: %q is no number of connections", name, text)
			}
			size = max(size, int32(n))
		case "pool_max_conn_lifetime", "pool_max_conn_idle_time":
			d, err := time.ParseDuration(text)
			if err != nil || d <= 0 {
				return 0, fmt.Errorf("%s: %q is no time such as 30m", name, text)
			}
			if name == "pool_max_conn_lifetime" {
				p.life = d
			} else {
				p.idle = d
			}
		default:
			return 0, fmt.Errorf("%s is not supported: pool_max_conns, pool_max_conn_lifetime and pool_max_conn_idle_time are", name)
		}
	}
	return size, nil
}

// acquire waits for a connection that lives.
func (p *pool) acquire(ctx context.Context) (*conn, error) {
	for {
		res, err := p.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		if c := res.Value(); !p.worn(res) && (res.IdleDuration() < askAfter || c.Ping(ctx) == nil) {
			return &conn{c, res}, nil
		}
		res.Destroy()
	}
}

func (p *pool) worn(res *puddle.Resource[*pgconn.PgConn]) bool {
	return res.Value().IsClosed() || time.Since(res.CreationTime()) > p.life || res.IdleDuration() > p.idle
}

// release gives the connection back, or ends it if it is not as it was.
func (c *conn) release() {
	if c.IsClosed() || c.IsBusy() || c.TxStatus() != 'I' {
		c.of.Destroy()
		return
	}
	c.of.Release()
}

// tidyUp ends connections that nobody has needed for long.
func (p *pool) tidyUp() {
	for _, res := range p.AcquireAllIdle() {
		if p.worn(res) {
			res.Destroy()
		} else {
			res.ReleaseUnused()
		}
	}
}

// do runs one statement on a connection of its own.
func (p *pool) do(ctx context.Context, sql string, args []any, read func(*results) error) error {
	c, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.release()
	return c.do(ctx, sql, args, read)
}

func (c *conn) do(ctx context.Context, sql string, args []any, read func(*results) error) error {
	var b batch
	b.queue(sql, args...)
	r := b.sendTo(ctx, c.PgConn)
	err := read(r)
	if closed := r.close(); err == nil {
		err = closed
	}
	return err
}

// changed is for do: how many rows the statement changed.
func changed(n *int64) func(*results) error {
	return func(r *results) (err error) {
		*n, err = r.exec()
		return err
	}
}

// done is for do, when nobody wants to know.
func done(r *results) error {
	_, err := r.exec()
	return err
}
