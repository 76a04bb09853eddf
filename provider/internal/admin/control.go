package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// The conversation over the control socket. A request is
//
//	POST /v1/agents/add?in={"email":"ana@acme.example"}
//	Chatelaine-Operator: root
//
// with an optional body of bytes (a site file, a backup). The answer is a stream
// of lines, each a JSON object with one member:
//
//	{"progress":{"what":"hashing passwords","done":3,"total":10}}
//	{"bytes":65536}      followed by so many raw bytes
//	{"result":{…}}       the last line of an operation that was done
//	{"error":{…}}        the last line of one that was not
//
// A stream without a last line is an operation whose outcome is not known.

// Progress is how far a long operation is. Total 0 means not known.
type Progress struct {
	What  string `json:"what"`
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"`
}

// Failure is why an operation was not done.
type Failure struct {
	Kind    string  `json:"kind"` // usage, not_found or failed
	Message string  `json:"message"`
	Faults  []Fault `json:"faults,omitempty"` // of a site file
}

const (
	operatorHeader = "Chatelaine-Operator"
	maxInput       = 64 << 10
)

// call is one operation under way.
type call struct {
	Body io.Reader

	mu  sync.Mutex
	out *bufio.Writer
	rc  *http.ResponseController
	err error // the first fault in writing the answer
}

// Progress tells how far the operation is.
func (c *call) Progress(what string, done, total int64) {
	c.line(map[string]any{"progress": Progress{what, done, total}})
}

func (c *call) line(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	raw, err := json.Marshal(v)
	if err == nil {
		_, err = c.out.Write(append(raw, '\n'))
	}
	c.flush(err)
}

func (c *call) flush(err error) {
	if err == nil {
		err = c.out.Flush()
	}
	if err == nil {
		err = c.rc.Flush()
	}
	if c.err == nil {
		c.err = err
	}
}

// Write sends raw bytes of the answer.
func (c *call) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	_, err := fmt.Fprintf(c.out, "{\"bytes\":%d}\n", len(p))
	if err == nil {
		_, err = c.out.Write(p)
	}
	c.flush(err)
	if c.err != nil {
		return 0, c.err
	}
	return len(p), nil
}

// operation does one thing with its input and returns what there is to say.
type operation func(ctx context.Context, in []byte, c *call) (any, error)

// takes makes an operation of a function with an input of its own.
func takes[In any](fn func(context.Context, In, *call) (any, error)) operation {
	return func(ctx context.Context, raw []byte, c *call) (any, error) {
		var in In
		if err := readInput(raw, &in); err != nil {
			return nil, err
		}
		return fn(ctx, in, c)
	}
}

// readInput is once in the program for all operations.
func readInput(raw []byte, in any) error {
	if err := strictJSON(raw, in); err != nil {
		return usage("%v", err)
	}
	return nil
}

// Control answers the operations. It must be reachable for the operator only.
func (a *Admin) Control() http.Handler {
	mux := http.NewServeMux()
	for name, op := range a.operations() {
		mux.Handle("POST /v1/"+name, a.serve(op))
	}
	return mux
}

func (a *Admin) serve(op operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := r.URL.Query().Get("in")
		if in == "" {
			in = "{}"
		}
		operator := r.Header.Get(operatorHeader)
		if operator == "" {
			operator = "unknown"
		}
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex() // the body may still come while the answer has begun
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Cache-Control", "no-store")
		c := &call{Body: r.Body, out: bufio.NewWriterSize(w, 64<<10), rc: rc}
		ctx := withOperator(web.WithClient(r.Context(), netip.Addr{}, a.requestID(), "chatelaine command"), operator)
		result, err := a.run(ctx, op, []byte(in), c)
		if err != nil {
			c.line(map[string]any{"error": a.failure(err)})
			return
		}
		c.line(map[string]any{"result": result})
	})
}

// run keeps a fault in one operation from taking the server with it.
func (a *Admin) run(ctx context.Context, op operation, in []byte, c *call) (result any, err error) {
	defer func() {
		if r := recover(); r != nil {
			result, err = nil, fmt.Errorf("the operation broke off: %v", r)
		}
	}()
	return op(ctx, in, c)
}

func usage(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

func notFound(kind, key string) error {
	return fmt.Errorf("%w: there is no %s %s", errNotFound, kind, key)
}

func (a *Admin) failure(err error) Failure {
	f := Failure{Kind: "failed", Message: err.Error()}
	var file *FileError
	switch {
	case errors.As(err, &file):
		f.Kind, f.Faults, f.Message = "usage", file.Faults, "the site file cannot be applied"
	case errors.Is(err, errUsage):
		f.Kind, f.Message = "usage", strings.TrimPrefix(err.Error(), errUsage.Error()+": ")
	case errors.Is(err, errNotFound):
		f.Kind, f.Message = "not_found", strings.TrimPrefix(err.Error(), errNotFound.Error()+": ")
	}
	return f
}

// strictJSON decodes one JSON value with no unknown, doubled or folded names.
func strictJSON(raw []byte, into any) error {
	if len(raw) > maxInput || !utf8.Valid(raw) {
		return errors.New("the input is too long or not UTF-8")
	}
	if err := noDoubles(raw); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the input is not what this operation takes: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the input")
	}
	return nil
}

// noDoubles refuses an object that names a member twice; encoding/json would
// let the last one win, and fold their case.
func noDoubles(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	type level struct {
		object bool
		names  map[string]bool
		name   bool // a name comes next
	}
	var stack []level
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the input is not JSON: %w", err)
		}
		if n := len(stack); n > 0 && stack[n-1].object && stack[n-1].name && token != json.Delim('}') {
			name := strings.ToLower(token.(string))
			if stack[n-1].names[name] {
				return fmt.Errorf("%s is given twice", strconv.Quote(name))
			}
			stack[n-1].names[name], stack[n-1].name = true, false
			continue
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if len(stack) == 16 {
				return errors.New("the input is nested too deeply")
			}
			stack = append(stack, level{token == json.Delim('{'), map[string]bool{}, true})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if n := len(stack); n > 0 {
			stack[n-1].name = true
		}
	}
}
