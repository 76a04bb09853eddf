package postgres

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"
)

func ownPool(t *testing.T, parameters string) *pool {
	t.Helper()
	url := Server(t)
	if strings.Contains(url, "?") {
		parameters = strings.Replace(parameters, "?", "&", 1)
	}
	p, err := newPool(url + parameters)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// echo sends one value and reads it back as the server understood it.
func echo(t *testing.T, p *pool, sql string, args ...any) (columns [][]byte) {
	t.Helper()
	err := p.do(t.Context(), sql, args, func(r *results) error {
		return r.rows(func(got [][]byte) error {
			for _, c := range got {
				columns = append(columns, bytes.Clone(c))
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

func TestValuesArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	p := ownPool(t, "")
	for _, want := range [][]byte{{}, {0}, []byte("a\x00\xff"), bytes.Repeat([]byte{7}, 1<<20)} {
		if got := echo(t, p, "select $1::bytea, $1 is null", want); !bytes.Equal(got[0], want) || got[1][0] != 0 {
			t.Errorf("%d bytes came back as %d", len(want), len(got[0]))
		}
	}
	if got := echo(t, p, "select $1::bytea is null", []byte(nil)); got[0][0] != 0 {
		t.Error("no bytes are sent as NULL")
	}
	for _, want := range []int{0, 1, -1, math.MaxInt64, math.MinInt64} {
		if got, err := number(echo(t, p, "select $1::bigint", want)[0]); err != nil || got != int64(want) {
			t.Errorf("%d came back as %d, %v", want, got, err)
		}
	}
	if got, err := number(echo(t, p, "select (-7)::int")[0]); err != nil || got != -7 {
		t.Error(got, err)
	}
	if _, err := number([]byte{1}); err == nil {
		t.Error("a byte is a number")
	}
	got := echo(t, p, "select array_length($1::bytea[], 1), ($1::bytea[])[2], ($2::bigint[])[3], coalesce(array_length($3::bytea[], 1), 0), coalesce(array_length($4::bigint[], 1), 0)",
		[][]byte{{}, []byte("b")}, []int64{1, 2, -3}, [][]byte{}, []int64{})
	length, _ := number(got[0])
	third, _ := number(got[2])
	none, _ := number(got[3])
	nothing, _ := number(got[4])
	if length != 2 || string(got[1]) != "b" || third != -3 || none != 0 || nothing != 0 {
		t.Errorf("%q", got)
	}
}

func TestAFullPoolMakesWaitAndNoLonger(t *testing.T) {
	t.Parallel()
	p := ownPool(t, "?pool_max_conns=17")
	var held []*conn
	for range 17 {
		c, err := p.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an eighteenth: %v", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := p.acquire(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		c.release()
	})
	time.Sleep(20 * time.Millisecond)
	for _, c := range held {
		c.release()
	}
	wg.Wait()
	if n := p.Stat().TotalResources(); n != 17 {
		t.Errorf("%d connections", n)
	}
}

func TestABrokenOrHalfDoneConnectionIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	p := ownPool(t, "")
	for name, harm := range map[string]func(*conn){
		"in transaction": func(c *conn) { _ = c.Exec(t.Context(), "begin").Close() },
		"in a failed one": func(c *conn) {
			_ = c.Exec(t.Context(), "begin").Close()
			_ = c.Exec(t.Context(), "select 1/0").Close()
		},
	} {
		c, err := p.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		harm(c)
		c.release()
		if got := echo(t, p, "select 1, pg_current_xact_id_if_assigned() is null"); len(got) != 2 {
			t.Errorf("%s: %q", name, got)
		}
	}
	c, err := p.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw := c.PgConn
	c.release()
	_ = raw.Conn().Close() // while nobody uses it
	time.Sleep(askAfter + 100*time.Millisecond)
	if got, err := number(echo(t, p, "select 1")[0]); err != nil || got != 1 {
		t.Errorf("the server closed an idle one: %d %v", got, err)
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	p := ownPool(t, "?pool_max_conn_idle_time=20ms")
	echo(t, p, "select 1")
	p.tidyUp()
	if n := p.Stat().TotalResources(); n != 1 {
		t.Errorf("%d connections at once", n)
	}
	time.Sleep(40 * time.Millisecond)
	p.tidyUp()
	time.Sleep(100 * time.Millisecond) // it says goodbye in the background
	if n := p.Stat().TotalResources(); n != 0 {
		t.Errorf("%d connections after their time", n)
	}
}

func TestThePoolsParametersAreItsOwn(t *testing.T) {
	t.Parallel()
	for parameters, fine := range map[string]bool{
		"": true, "?pool_max_conns=40&pool_max_conn_lifetime=5m": true, "?application_name=x": true,
		"?pool_max_conns=many": false, "?pool_max_conns=0": false, "?pool_max_conn_lifetime=soon": false, "?pool_min_conns=3": false,
	} {
		p, err := newPool("postgres://user:canary@localhost/db" + parameters)
		if fine != (err == nil) || err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", parameters, err)
		}
		if err == nil {
			p.Close()
		}
	}
}

func TestTheTwoTimesOfConnectionsDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	for range 20 { // parameters come in any order
		p, err := newPool("postgres://localhost/db?pool_max_conn_lifetime=20m&pool_max_conn_idle_time=3m")
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
		if p.life != 20*time.Minute || p.idle != 3*time.Minute {
			t.Fatalf("a life of %v, %v of it idle", p.life, p.idle)
		}
	}
}

func TestGivingUpTheWaitLeavesTheConnectionToOthers(t *testing.T) {
	t.Parallel()
	p := ownPool(t, "")
	var held []*conn
	for range maxConns {
		c, err := p.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := p.acquire(ctx)
		gaveUp <- err
	}()
	time.Sleep(20 * time.Millisecond)
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while waiting: %v", err)
	}
	for _, c := range held {
		c.release()
	}
	if n := p.Stat().IdleResources(); n != maxConns {
		t.Errorf("%d of %d connections are free", n, maxConns)
	}
}

func TestClosingWaitsForWhoIsStillAtWork(t *testing.T) {
	t.Parallel()
	p := ownPool(t, "")
	c, err := p.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		late, err := p.acquire(t.Context())
		if err != nil {
			break
		}
		late.release()
		if time.Now().After(deadline) {
			t.Fatal("a closing pool gives out connections")
		}
	}
	if err := c.do(t.Context(), "select 1", nil, done); err != nil {
		t.Errorf("at work while the pool closes: %v", err)
	}
	select {
	case <-closed:
		t.Error("it closed under a connection in use")
	default:
	}
	c.release()
	<-closed
	if !c.IsClosed() {
		t.Error("the connection outlives its pool")
	}
}
