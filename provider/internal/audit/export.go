package audit

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

// Formats of an export.
const (
	JSONLines = "jsonl"
	CSV       = "csv"
)

// Filter says which records are wanted; what is left empty matches all.
type Filter struct {
	Since, Until time.Time // Since <= time < Until
	Actor        string    // id, or type:id
	Action       string    // area.verb, or area
	Object       string    // id, or type:id
	IP           string
}

func (f *Filter) matches(e *Entry) bool {
	return (f.Since.IsZero() || !e.Time.Before(f.Since)) && (f.Until.IsZero() || e.Time.Before(f.Until)) &&
		named(f.Actor, e.ActorType, e.ActorID) && named(f.Object, e.Object, e.ObjectID) &&
		(f.Action == "" || f.Action == e.Action || strings.HasPrefix(e.Action, f.Action+".")) &&
		(f.IP == "" || f.IP == e.IP)
}

func named(want, typ, id string) bool { return want == "" || want == id || want == typ+":"+id }

func (f *Filter) check() error {
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return fmt.Errorf("%w: since is not before until", ErrFilter)
	}
	return nil
}

// searchPage is how many records one read transaction looks at.
const searchPage = 500

// Place is where a search goes on: after an entry, then after an unsealed record.
// The zero Place is the beginning.
type Place struct {
	Sequence uint64
	Unsealed string // id; set when the chain has been read
	Done     bool
}

// Search returns the matching records of the next page, the oldest first, and
// where to go on. A page may be empty and not the last.
func (l *Log) Search(ctx context.Context, path string, f Filter, from Place) (found []Entry, next Place, err error) {
	if err := f.check(); err != nil {
		return nil, from, err
	}
	err = l.Store.View(ctx, path, func(tx store.Tx) error {
		found, next = nil, from
		n := 0
		if from.Unsealed == "" {
			for rec, err := range store.AuditEntries.All(tx, store.AuditKey(from.Sequence)) {
				if err != nil {
					return err
				}
				if n++; n > searchPage {
					return nil
				}
				next.Sequence = rec.Sequence
				e, err := readEntry(tx, &rec)
				if err != nil {
					return err
				}
				if f.matches(&e) {
					found = append(found, e)
				}
			}
		}
		for rec, err := range store.UnsealedAudits.All(tx, from.Unsealed) {
			if err != nil {
				return err
			}
			if n++; n > searchPage {
				return nil
			}
			next.Unsealed = rec.ID
			e, err := read(rec.ID, rec.Body, rec.Personal)
			if err != nil {
				return err
			}
			if f.matches(&e) {
				found = append(found, e)
			}
		}
		next.Done = true
		return nil
	})
	if err != nil {
		return nil, from, fmt.Errorf("search the audit log: %w", err)
	}
	return found, next, nil
}

func readEntry(tx store.Tx, rec *store.AuditEntry) (Entry, error) {
	beside, err := store.AuditPersonals.Get(tx, store.AuditKey(rec.Sequence))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Entry{}, err
	}
	e, err := read(rec.ID, rec.Body, beside.Values)
	e.Sequence, e.Link = rec.Sequence, rec.Link
	return e, err
}

// Export writes the matching records, the oldest first, as JSONLines or CSV. That
// it was done, by whom and with which filter, is recorded first.
func (l *Log) Export(ctx context.Context, path string, w io.Writer, format string, f Filter, by Ref) error {
	var out writer
	buffered := bufio.NewWriter(w)
	switch format {
	case JSONLines:
		out = jsonWriter{json.NewEncoder(buffered)}
	case CSV:
		out = &csvWriter{w: csv.NewWriter(buffered)}
	default:
		return fmt.Errorf("%w: format %q is neither %s nor %s", ErrFilter, format, JSONLines, CSV)
	}
	if err := f.check(); err != nil {
		return err
	}
	if err := l.Store.Update(ctx, path, func(tx store.Tx) error { return l.Record(ctx, tx, f.event(by, format)) }); err != nil {
		return err
	}
	if err := out.begin(); err != nil {
		return err
	}
	for place := (Place{}); !place.Done; {
		found, next, err := l.Search(ctx, path, f, place)
		if err != nil {
			return err
		}
		for i := range found {
			if err := out.entry(&found[i]); err != nil {
				return err
			}
		}
		if err := out.flush(); err != nil {
			return err
		}
		place = next
	}
	return buffered.Flush()
}

func (f *Filter) event(by Ref, format string) Event {
	e := Event{Action: AuditExport, Actor: by, Changes: []Change{{Field: "format", New: format}}}
	for _, c := range []Change{
		{Field: "since", New: date(f.Since)}, {Field: "until", New: date(f.Until)}, {Field: "actor", New: f.Actor}, {Field: "action", New: f.Action},
		{Field: "object", New: f.Object}, {Field: "ip", New: f.IP, Personal: true},
	} {
		if c.New != "" {
			e.Changes = append(e.Changes, c)
		}
	}
	return e
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// writer is one format of an export.
type writer interface {
	begin() error
	entry(*Entry) error
	flush() error
}

type jsonWriter struct{ *json.Encoder }

func (jsonWriter) begin() error           { return nil }
func (j jsonWriter) entry(e *Entry) error { return j.Encode(e) }
func (jsonWriter) flush() error           { return nil }

type csvWriter struct{ w *csv.Writer }

func (c *csvWriter) begin() error {
	return c.w.Write([]string{"seq", "id", "time", "action", "actor_type", "actor_id", "object_type", "object_id", "result", "reason", "ip", "user_agent", "request_id", "count", "changes", "personal"})
}

func (c *csvWriter) entry(e *Entry) error {
	changes, err := json.Marshal(e.Changes)
	if err != nil {
		return err
	}
	personal, err := json.Marshal(e.Personal)
	if err != nil {
		return err
	}
	row := []string{
		strconv.FormatUint(e.Sequence, 10), e.ID, date(e.Time), e.Action, e.ActorType, e.ActorID, e.Object, e.ObjectID, e.Result, e.Reason,
		e.IP, e.UserAgent, e.RequestID, strconv.Itoa(e.Count), string(changes), string(personal),
	}
	for i := range row {
		row[i] = cell(row[i])
	}
	return c.w.Write(row)
}

func (c *csvWriter) flush() error {
	c.w.Flush()
	return c.w.Error()
}

// cell keeps a spreadsheet from taking text for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n|%", rune(s[0])) {
		return "'" + s
	}
	return s
}
