package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/store"
)

// checkpoint is a line of the file outside the store: the chain had this link at
// this place. A Restored one says that an older copy was put back on purpose, so
// that earlier checkpoints beyond it no longer bind.
type checkpoint struct {
	Site      string    `json:"site"`
	Sequence  uint64    `json:"seq"`
	Link      []byte    `json:"link"`
	Time      time.Time `json:"time"`
	Restored  bool      `json:"restored,omitempty"`
	Key       []byte    `json:"key"` // Ed25519 public key
	Signature []byte    `json:"sig,omitempty"`
}

// outside is the checkpoint file.
type outside struct {
	mu   sync.Mutex
	last map[string]checkpoint // by site path
}

func (c checkpoint) signed() []byte {
	c.Signature = nil
	b, _ := json.Marshal(c) // cannot fail: the time is in range
	return append([]byte("chatelaine audit checkpoint 1\x00"), b...)
}

func (c checkpoint) valid(public ed25519.PublicKey) bool {
	return public.Equal(ed25519.PublicKey(c.Key)) && ed25519.Verify(public, c.signed(), c.Signature)
}

func (l *Log) checkpointKey(ctx context.Context, path string) (ed25519.PrivateKey, error) {
	seed, err := l.Keys.Secret(ctx, path, keys.SecretCheckpoint)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// checkpoint appends one if it is due.
func (l *Log) checkpoint(ctx context.Context, path string, now bool) error {
	if l.Checkpoints == "" {
		return nil
	}
	var head store.AuditHead
	err := l.Store.View(ctx, path, func(tx store.Tx) (err error) {
		head, err = loadHead(tx)
		return err
	})
	if err != nil {
		return err
	}
	l.outside.mu.Lock()
	defer l.outside.mu.Unlock()
	last, known := l.outside.last[path]
	if !known {
		if last, err = l.lastCheckpoint(path); err != nil {
			return err
		}
		l.outside.last[path] = last
	}
	if head.Sequence <= last.Sequence || !now && head.Sequence-last.Sequence < l.Every && l.Now().Sub(last.Time) < l.Interval {
		return nil
	}
	return l.append(ctx, checkpoint{Site: path, Sequence: head.Sequence, Link: head.Link})
}

// Restored tells the outside that the site's store was put back to an older copy
// on purpose. Without it Verify says that the chain was cut.
func (l *Log) Restored(ctx context.Context, path string) error {
	if l.Checkpoints == "" {
		return nil
	}
	var head store.AuditHead
	err := l.Store.View(ctx, path, func(tx store.Tx) (err error) {
		head, err = loadHead(tx)
		return err
	})
	if err != nil {
		return err
	}
	l.outside.mu.Lock()
	defer l.outside.mu.Unlock()
	return l.append(ctx, checkpoint{Site: path, Sequence: head.Sequence, Link: head.Link, Restored: true})
}

// append signs the checkpoint and writes its line durably. The caller holds the
// lock.
func (l *Log) append(ctx context.Context, c checkpoint) (err error) {
	private, err := l.checkpointKey(ctx, c.Site)
	if err != nil {
		return err
	}
	c.Time = l.Now().UTC()
	c.Key = private.Public().(ed25519.PublicKey)
	c.Signature = ed25519.Sign(private, c.signed())
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := appendLine(l.Checkpoints, line); err != nil {
		return fmt.Errorf("audit checkpoint: %w", err)
	}
	l.outside.last[c.Site] = c
	return nil
}

// appendLine appends the line durably; what a crash left of another one stays on a
// line of its own.
func appendLine(path string, line []byte) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if size := info.Size(); size > 0 {
		end := make([]byte, 1)
		if _, err := f.ReadAt(end, size-1); err != nil {
			return err
		}
		if end[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return err
	}
	return f.Sync()
}

func (l *Log) lastCheckpoint(path string) (last checkpoint, err error) {
	err = l.withFile(func(file io.Reader) error {
		return eachCheckpoint(file, path, func(_ int, c checkpoint, err error) error {
			if err == nil {
				last = c
			}
			return nil
		})
	})
	return last, err
}

// withFile opens our own file; one that is not there yet is empty.
func (l *Log) withFile(fn func(io.Reader) error) error {
	file, err := os.Open(l.Checkpoints)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit checkpoints: %w", err)
	}
	defer file.Close()
	return fn(file)
}

// maxCheckpoint is more than a line can have, in bytes.
const maxCheckpoint = 16 << 10

// eachCheckpoint calls f for the site's lines in order, and for lines that are
// none. The last line may have been cut short by a crash: it is left out.
func eachCheckpoint(file io.Reader, path string, f func(line int, c checkpoint, err error) error) error {
	r := bufio.NewReaderSize(file, maxCheckpoint)
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		for err != nil && errors.Is(err, bufio.ErrBufferFull) { // no line of ours: all of it is one
			line = nil
			_, err = r.ReadSlice('\n')
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("audit checkpoints: %w", err)
		}
		var c checkpoint
		err = json.Unmarshal(line, &c)
		if err != nil || c.Site == path {
			if err := f(n, c, err); err != nil {
				return err
			}
		}
	}
}

// checkpoints reads the site's lines from our own file.
func (l *Log) checkpoints(ctx context.Context, path string) (points []checkpoint, problem *Problem, err error) {
	if l.Checkpoints == "" {
		return nil, nil, nil
	}
	err = l.withFile(func(file io.Reader) error {
		points, problem, err = l.readCheckpoints(ctx, path, file)
		return err
	})
	return points, problem, err
}

// readCheckpoints reads the site's lines; of those that a restore has overtaken it
// leaves out the ones beyond it.
func (l *Log) readCheckpoints(ctx context.Context, path string, file io.Reader) (points []checkpoint, problem *Problem, err error) {
	private, err := l.checkpointKey(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	public := private.Public().(ed25519.PublicKey)
	err = eachCheckpoint(file, path, func(line int, c checkpoint, err error) error {
		if err != nil { // half a line, from a crash
			return ctx.Err()
		}
		if !c.valid(public) {
			if problem == nil {
				problem = &Problem{c.Sequence, fmt.Sprintf("checkpoint file, line %d", line), "its signature is not ours"}
			}
			return nil
		}
		for c.Restored && len(points) > 0 && points[len(points)-1].Sequence > c.Sequence {
			points = points[:len(points)-1]
		}
		points = append(points, c)
		return nil
	})
	return points, problem, err
}

// compare holds the chain against the checkpoints.
func (v *verifier) compare(points []checkpoint) {
	if v.report.Problem != nil {
		return
	}
	for _, c := range points {
		switch {
		case c.Sequence > v.last:
			v.badEntry(v.last+1, "cut: the checkpoint of %s says that there was entry %d", c.Time.Format(time.RFC3339), c.Sequence)
		case v.at[c.Sequence] != nil && !bytes.Equal(v.at[c.Sequence], c.Link):
			v.badEntry(c.Sequence, "it is not the one of the checkpoint of %s", c.Time.Format(time.RFC3339))
		default:
			continue
		}
		return
	}
}
