package storetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Postgres starts a throw-away PostgreSQL for the test and returns the URL of
// an empty database. Where the machine has none the test is skipped, and fails
// if CI=true.
func Postgres(t testing.TB) string {
	t.Helper()
	return StartPostgres(t).URL
}

// Server is a running throw-away PostgreSQL.
type Server struct {
	URL    string
	t      testing.TB
	bin    string
	folder string
	as     []string // what to run its programs with: the server refuses root
}

// StartPostgres is Postgres for tests that stop and start the server.
func StartPostgres(t testing.TB) *Server {
	t.Helper()
	s := initPostgres(t, "max_connections=60\n")
	t.Cleanup(s.remove)
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// initPostgres prepares a server that does not run yet. Whoever calls it removes
// its folder.
func initPostgres(t testing.TB, settings string) *Server {
	t.Helper()
	bin := postgresBin()
	if bin == "" {
		missing(t, "PostgreSQL's server programs (Debian: postgresql)")
	}
	s := &Server{t: t, bin: bin}
	defer func() {
		if t.Failed() {
			s.remove()
		}
	}()
	folder, err := os.MkdirTemp("", "chatelaine-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	s.folder = folder
	if os.Geteuid() == 0 {
		s.as = []string{"runuser", "-u", "postgres", "--"}
		if err := exec.Command("runuser", "-u", "postgres", "--", "true").Run(); err != nil {
			missing(t, "a user postgres to run the server as, since root may not")
		}
		if out, err := exec.Command("chown", "postgres", folder).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v %s", err, out)
		}
	}
	port := freePort(t)
	s.run("initdb", "-D", s.data(), "-A", "trust", "-U", "postgres", "-N", "--locale=C", "-E", "UTF8")
	s.URL = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	options := fmt.Sprintf("listen_addresses='127.0.0.1'\nport=%d\nunix_socket_directories=''\nshared_buffers=32MB\n%s", port, settings)
	config := exec.Command("tee", "-a", filepath.Join(s.data(), "postgresql.conf"))
	config.Stdin = strings.NewReader(options)
	if out, err := config.CombinedOutput(); err != nil {
		t.Fatalf("configure: %v %s", err, out)
	}
	return s
}

func (s *Server) remove() { _ = os.RemoveAll(s.folder) }

func (s *Server) log() string { return filepath.Join(s.folder, "log") }

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// Start starts the server and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	s.run("pg_ctl", "-D", s.data(), "-l", s.log(), "-w", "-t", "30", "start")
}

// Stop stops it at once, as a crash would.
func (s *Server) Stop() {
	s.t.Helper()
	cmd := s.command("pg_ctl", "-D", s.data(), "-m", "immediate", "-w", "stop")
	_ = cmd.Run()
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	all := slices.Concat(s.as, []string{filepath.Join(s.bin, name)}, args)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Dir = s.folder
	return cmd
}

func (s *Server) run(name string, args ...string) {
	s.t.Helper()
	cmd := s.command(name, args...)
	file, err := os.CreateTemp("", "postgres-out-") // a pipe would be held by the server
	if err != nil {
		s.t.Fatal(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Run(); err != nil {
		out, _ := os.ReadFile(file.Name())
		log, _ := os.ReadFile(s.log())
		s.t.Fatalf("%s: %v\n%s%s", name, err, out, log)
	}
}

func postgresBin() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil { // its neighbours are where it really is
			path = real
		}
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this machine lacks %s", what)
	}
	t.Skipf("this machine lacks %s", what)
}
