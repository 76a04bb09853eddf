package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// Shared is one throw-away PostgreSQL for all tests of a package, for protocol
// tests that want both engines: starting a server for each would take longer than
// the tests. It does not wait for the disk, so open it with AllowAsync.
//
//	var database storetest.Shared
//
//	func TestMain(m *testing.M) { os.Exit(database.Run(m)) }
type Shared struct {
	once   sync.Once
	server *Server
	given  atomic.Int64
}

// maxShared is how many databases one Shared can give; an empty one costs nothing.
const maxShared = 2048

// Run runs the package's tests and stops the server, if one of them needed it.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if s.server != nil {
		s.server.Stop()
		s.server.remove()
	}
	return code
}

// URL is an empty database of the server: a schema of its own.
func (s *Shared) URL(t testing.TB) string {
	t.Helper()
	if postgresBin() == "" {
		missing(t, "PostgreSQL's server programs (Debian: postgresql)")
	}
	s.once.Do(func() {
		server := initPostgres(t, "fsync=off\nmax_connections=200\n")
		server.Start()
		server.run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.URL, "-c",
			fmt.Sprintf("do $$ begin for i in 1..%d loop execute 'create schema t' || i; end loop; end $$", maxShared))
		s.server = server
	})
	if s.server == nil {
		t.Fatal("the shared PostgreSQL did not start")
	}
	n := s.given.Add(1)
	if n > maxShared {
		t.Fatalf("more than %d databases are in use", maxShared)
	}
	return fmt.Sprintf("%s&search_path=t%d", s.server.URL, n)
}

// OnBothEngines runs a test on bbolt and on PostgreSQL.
func OnBothEngines(t *testing.T, test func(t *testing.T, engine Engine)) {
	t.Helper()
	t.Parallel()
	for _, engine := range []Engine{Bolt, PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

// Engine is one of the two.
type Engine string

// The engines, by the name of their subtests.
const (
	Bolt       Engine = "bbolt"
	PostgreSQL Engine = "PostgreSQL"
)
