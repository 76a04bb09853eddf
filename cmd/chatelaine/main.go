// Command chatelaine is the identity provider for customer chat, in one binary.
//
// It owns what an operator touches: settings, the listeners, the commands. While
// serve runs it holds the store and answers the other commands on a socket in
// the data folder; they open the store themselves only when nobody serves.
// What an operation does is provider's business.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "dev"

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(program()) }

// program runs the command line and returns the exit code.
func program() int {
	signal.Ignore(syscall.SIGXFSZ) // a limit on the size of files is a write that fails, as on a full disk
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ()}, os.Args[1:])
}

// terminal is what a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
}

// say is, as what a hundred places call, not inlined in each.
//
//go:noinline
func (t *terminal) say(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format+"\n", args...) }
func (t *terminal) note(format string, args ...any) {
	_, _ = fmt.Fprintf(t.err, "chatelaine: "+format+"\n", args...)
}

func run(ctx context.Context, t *terminal, args []string) int {
	command, code := choose(t, args)
	if command == nil {
		return code
	}
	return exitCode(t, command(ctx, t))
}

// choose reads the command line. Without a command there is an exit code: help was
// asked for, or something is wrong. For the commands that run for long, what the
// parser knows of all commands and flags, some megabytes, is garbage when it
// returns.
func choose(t *terminal, args []string) (command func(context.Context, *terminal) error, code int) {
	c := newCommands()
	exited := false
	parser, err := kong.New(c,
		kong.Name("chatelaine"), kong.Description("The identity provider for customer chat."),
		kong.Writers(t.out, t.err), kong.Exit(func(n int) { exited, code = true, n }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}))
	if err != nil {
		t.note("%v", err)
		return nil, exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited {
		return nil, code
	}
	if err != nil {
		t.note("%v (chatelaine --help lists the commands)", err)
		return nil, exitUsage
	}
	type alone interface { // a command that is no part of another
		Run(ctx context.Context, t *terminal) error
	}
	if c, ok := parsed.Selected().Target.Addr().Interface().(alone); ok {
		return c.Run, exitDone
	}
	return func(ctx context.Context, t *terminal) error {
		parsed.BindTo(ctx, (*context.Context)(nil))
		return parsed.Run(t)
	}, exitDone
}

// exitCode says what went wrong, once, and how that counts.
func exitCode(t *terminal, err error) int {
	var usage *usageError
	var config *configError
	var failure *failure
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &config), errors.As(err, &usage):
		t.note("%v", err)
		return exitUsage
	case errors.As(err, &failure) && failure.Kind == "usage":
		t.note("%v", err)
		return exitUsage
	}
	t.note("%s", strings.Join(strings.Fields(err.Error()), " ")) // some libraries break their lines
	return exitFailed
}

// usageError is a command that was asked wrongly.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }
