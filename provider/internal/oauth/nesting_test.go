package oauth

import (
	"bytes"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

// nesting finds a transaction that is opened inside another one: on PostgreSQL it
// wants a second connection while it holds the first, and as many at once as there
// are connections wait for each other until they time out.
type nesting struct{ open sync.Map } // goroutine → struct{}

// enter is called before a transaction; the function that it returns, after it.
func (n *nesting) enter(t testing.TB) (leave func()) {
	buf := make([]byte, 32)
	id := string(bytes.Fields(buf[:runtime.Stack(buf, false)])[1])
	if _, inside := n.open.LoadOrStore(id, struct{}{}); inside {
		t.Errorf("a transaction inside a transaction:\n%s", debug.Stack())
		return func() {}
	}
	return func() { n.open.Delete(id) }
}
