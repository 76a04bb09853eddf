package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strings"
	"syscall"
	"time"
)

// control speaks to the operations behind the commands: over the socket of a
// running server, or in process.
type control struct {
	http     *http.Client
	operator string
	progress *progress
	close    func() error
}

// failure is the answer of an operation that was not done.
type failure struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Faults  []struct {
		Line    int    `json:"line"`
		Message string `json:"message"`
	} `json:"faults"`

	file string // the site file's name, for the faults
}

func (f *failure) Error() string {
	if len(f.Faults) == 0 {
		return f.Message
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", f.Message)
	for _, fault := range f.Faults {
		place := f.file
		if fault.Line > 0 {
			place = fmt.Sprintf("%s:%d", f.file, fault.Line)
		}
		fmt.Fprintf(&b, "\n  %s: %s", strings.TrimPrefix(place, ":"), fault.Message)
	}
	return b.String()
}

// request is one operation.
type request struct {
	op    string
	in    any
	body  io.Reader // nil: none
	bytes io.Writer // where raw bytes of the answer go
	out   any       // a pointer for the result; nil: not wanted
}

type answerLine struct {
	Progress *struct {
		What  string `json:"what"`
		Done  int64  `json:"done"`
		Total int64  `json:"total"`
	} `json:"progress"`
	Bytes  *int64          `json:"bytes"`
	Result json.RawMessage `json:"result"`
	Error  *failure        `json:"error"`
}

func (c *control) do(ctx context.Context, r request) error {
	in, err := json.Marshal(r.in)
	if err != nil {
		return err
	}
	if r.in == nil {
		in = []byte("{}")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/v1/"+r.op+"?in="+url.QueryEscape(string(in)), r.body)
	if err != nil {
		return err
	}
	req.Header.Set("Chatelaine-Operator", c.operator)
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the running server does not know this operation (%s); is it of another version?", resp.Status)
	}
	defer c.progress.done()
	return c.read(bufio.NewReaderSize(resp.Body, 64<<10), r)
}

// maxLine bounds one line of an answer, in bytes.
const maxLine = 64 << 20

func (c *control) read(in *bufio.Reader, r request) error {
	for {
		raw, err := readLine(in)
		if err != nil {
			return fmt.Errorf("the server broke off before it was done: %w", err)
		}
		var line answerLine
		if err := json.Unmarshal(raw, &line); err != nil {
			return fmt.Errorf("read the server's answer: %w", err)
		}
		switch {
		case line.Progress != nil:
			c.progress.set(line.Progress.What, line.Progress.Done, line.Progress.Total)
		case line.Bytes != nil:
			if _, err := io.CopyN(r.bytes, in, *line.Bytes); err != nil {
				return fmt.Errorf("copy: %w", err)
			}
		case line.Error != nil:
			return line.Error
		case line.Result != nil:
			if r.out == nil {
				return nil
			}
			return json.Unmarshal(line.Result, r.out)
		}
	}
}

func readLine(in *bufio.Reader) ([]byte, error) {
	var whole []byte
	for {
		part, more, err := in.ReadLine()
		if err != nil {
			return nil, err
		}
		whole = append(whole, part...)
		if !more {
			return whole, nil
		}
		if len(whole) > maxLine {
			return nil, errors.New("a line is too long")
		}
	}
}

// dialControl connects to a running server; ok is false if none listens.
func dialControl(ctx context.Context, dir string) (net.Conn, bool, error) {
	path, done, err := socketPath(dir)
	if err != nil {
		return nil, false, err
	}
	defer done()
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return conn, true, nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, false, nil
	case errors.Is(err, os.ErrPermission):
		return nil, false, fmt.Errorf("a server may be running in %s, but this user may not use its control.sock", dir)
	}
	return nil, false, fmt.Errorf("reach the running server: %w", err)
}

func socketClient(dir string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, ok, err := dialControl(ctx, dir)
			if err == nil && !ok {
				err = errors.New("the server has gone")
			}
			return conn, err
		},
	}}
}

// inProcess answers requests by a handler here, streaming both ways.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pipe: pw, begun: make(chan int, 1)}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	go func() {
		p.handler.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		_ = pw.Close()
	}()
	status := <-w.begun
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: w.header, Body: pr, Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
}

type pipeWriter struct {
	header http.Header
	pipe   *io.PipeWriter
	begun  chan int
	wrote  bool
}

func (w *pipeWriter) Header() http.Header { return w.header }
func (w *pipeWriter) Flush()              {}
func (w *pipeWriter) WriteHeader(status int) {
	if !w.wrote {
		w.wrote = true
		w.begun <- status
	}
}
func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(p)
}

// operatorName is who types, for the audit log.
func operatorName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

func httpInProcess(handler http.Handler) *http.Client {
	return &http.Client{Transport: inProcess{handler}}
}
