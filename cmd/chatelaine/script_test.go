package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"chatelaine": func() { os.Exit(program()) }})
}

// TestCommands runs the scripts of testdata against the real program.
func TestCommands(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata", UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"PORT", "PORT2", "PORT3"} {
				port, err := freePort()
				if err != nil {
					return err
				}
				e.Setenv(name, port)
			}
			e.Setenv("CHATELAINE_DATA", "data")
			e.Setenv("CHATELAINE_ARGON2_MEMORY_KIB", "8")
			e.Setenv("CHATELAINE_ARGON2_TIME", "1")
			e.Setenv("CHATELAINE_LISTEN", "127.0.0.1:"+e.Getenv("PORT"))
			e.Setenv("CHATELAINE_PUBLIC_URL", "http://localhost:"+e.Getenv("PORT"))
			e.Setenv("CI", "true")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"ready": ready, "get": get},
	})
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return portOf(l), nil
}

// ready waits until a URL answers with 200.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready URL")
	}
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(args[0]); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	ts.Fatalf("%s is not ready", args[0])
}

// get expects a status from a URL, and texts in the answer.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: get URL STATUS [TEXT...]")
	}
	resp, err := http.Get(args[0])
	ts.Check(err)
	defer resp.Body.Close()
	var b strings.Builder
	_ = resp.Write(&b)
	if fmt.Sprint(resp.StatusCode) != args[1] {
		ts.Fatalf("%s: status %d\n%s", args[0], resp.StatusCode, b.String())
	}
	for _, text := range args[2:] {
		if !strings.Contains(b.String(), text) {
			ts.Fatalf("%s does not say %q:\n%s", args[0], text, b.String())
		}
	}
}
