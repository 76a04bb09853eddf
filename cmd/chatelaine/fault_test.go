package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served is a server of the crash site, and how to speak to it.
func served(t *testing.T) (*serving, crashClient, shell) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), "127.0.0.1:"+port
	if err := os.WriteFile(filepath.Join(dir, "site.yaml"), []byte(crashSite), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := buildBinary(t)
	s := startServing(t, binary, dir, address)
	t.Cleanup(s.kill)
	return s, crashClient{"http://" + address, &http.Client{Timeout: 10 * time.Second}}, shell{t, binary, filepath.Join(dir, "data"), address}
}

// limitFiles is what a full disk looks like to the server: no file of its grows
// over so many bytes; "unlimited" makes room again.
func (s *serving) limitFiles(t *testing.T, size string) {
	t.Helper()
	out, err := exec.Command("prlimit", "--pid", fmt.Sprint(s.cmd.Process.Pid), "--fsize="+size+":unlimited").CombinedOutput()
	if err != nil {
		t.Fatalf("prlimit: %v %s", err, out)
	}
}

func manyAgents(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("sites:\n  - path: \"\"\n    agents:\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "      - {email: agent%d@acme.example, name: %s, active: false}\n", i, strings.Repeat("N", 200))
	}
	path := filepath.Join(t.TempDir(), "many.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFullDiskLosesNothingAndIsOverWhenThereIsSpace(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("prlimit"); err != nil {
		missing(t, "prlimit (util-linux)")
	}
	server, client, sh := served(t)
	rec := &recorder{}
	families := func() error {
		code, err := client.code()
		if err != nil {
			return err
		}
		rec.codes = append(rec.codes, code)
		answer, status, err := client.redeem(code)
		if err != nil || status != http.StatusOK {
			code.unsure = true
			return errors.Join(err, fmt.Errorf("redeem: %d %v", status, answer))
		}
		code.redeemed = true
		rec.chains = append(rec.chains, &chain{live: answer["refresh_token"].(string)})
		return nil
	}
	for range 3 {
		if err := families(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(sh.data, "chatelaine.db"))
	if err != nil {
		t.Fatal(err)
	}
	server.limitFiles(t, fmt.Sprint(info.Size()))
	many := manyAgents(t)
	apply := exec.Command(sh.binary, "apply", many)
	apply.Env = append(os.Environ(), "CHATELAINE_DATA="+sh.data, "CHATELAINE_PUBLIC_URL="+client.issuer)
	out, err := apply.CombinedOutput()
	var failed *exec.ExitError
	if !errors.As(err, &failed) || failed.ExitCode() != 1 || !strings.Contains(string(out), "chatelaine.db") || strings.Contains(string(out), "goroutine") {
		t.Errorf("apply on a full disk: %v\n%s", err, out)
	}
	for range 3 { // what fits is acknowledged, and then it is kept
		_ = families()
	}
	for _, path := range []string{"/healthz", "/.well-known/openid-configuration", "/oauth/jwks"} {
		if resp, err := client.http.Get(client.issuer + path); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %v %v", path, resp, err)
		}
	}
	server.limitFiles(t, "unlimited")
	if list := sh.run("agent", "list"); strings.Contains(list, "agent0@") {
		t.Error("half of the site file was applied")
	}
	client.account(t, rec)
	if said := sh.run("apply", many); !strings.Contains(said, "+ agent agent2999@acme.example") {
		t.Errorf("there is space again, and still: %.300s", said)
	}
	server.stop(t)
	sh.run("check")
	sh.run("audit", "verify")
}

// missing skips a test for what this machine lacks; in CI it fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", what)
	}
	t.Skipf("%s is missing", what)
}

func TestWhatIsUnderWayIsAnsweredBeforeTheServerEnds(t *testing.T) {
	t.Parallel()
	server, client, sh := served(t)
	address := strings.TrimPrefix(client.issuer, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := "grant_type=refresh_token&refresh_token=nothing"
	_, err = fmt.Fprintf(conn, "POST /oauth/token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", address, len(body), body[:10])
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // it has come to the handler
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		extra, err := net.Dial("tcp", address)
		if err != nil {
			break // no new ones
		}
		extra.Close()
		if time.Since(begin) > 5*time.Second {
			t.Fatal("it still accepts connections")
		}
	}
	if _, err := io.WriteString(conn, body[10:]); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("%v %v", resp, err)
	}
	resp.Body.Close()
	if err := server.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, server.log.String())
	}
	sh.run("audit", "verify")
}
