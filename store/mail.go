package store

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// OutboxMail is a mail that waits to be sent. Whom it goes to and what it says
// is sealed: it may hold a link.
type OutboxMail struct {
	ID      string    `json:"id"`   // NewMailID: sorts by time
	Name    string    `json:"name"` // what it is about, for metrics and the audit log: reset, locked…
	AgentID string    `json:"agent,omitempty"`
	Address string    `json:"address"` // MailAddress
	Body    []byte    `json:"body"`    // sealed
	Created time.Time `json:"created"`
	Due     time.Time `json:"due"`             // not to be sent before: backing off, or somebody sends it now
	GiveUp  time.Time `json:"give_up"`         // of no use from then on
	Tries   int       `json:"tries,omitempty"` // that have begun
	Lease   string    `json:"lease,omitempty"` // of who sends it until Due
	Fault   string    `json:"fault,omitempty"` // of the last try; holds no address and no text of the server's
	Expires time.Time `json:"expires"`         // forgotten, should nobody have given it up
}

// Outbox holds them, found by "address" and, through DueMails, by Due.
var Outbox = Table[OutboxMail]{
	Kind:    "outbox",
	Key:     func(m *OutboxMail) string { return m.ID },
	Expires: func(m *OutboxMail) time.Time { return m.Expires },
	Sealed:  func(m *OutboxMail) []*[]byte { return []*[]byte{&m.Body} },
	Lookups: []Lookup[OutboxMail]{
		{Name: "address", Values: func(m *OutboxMail) []string { return []string{m.Address} }},
		{Name: "due", Values: func(m *OutboxMail) []string { return []string{dueValue(m.Due)} }},
	},
}

// MailAddress is a canonical address as counters and lookups hold it.
func MailAddress(email string) string {
	sum := sha256.Sum256([]byte("mail\x00" + email))
	return hex.EncodeToString(sum[:16])
}

// MailAttempts is the key of the i-th of the counters that bound how many mails
// of one sort an address gets.
func MailAttempts(sort, email string, i int) string {
	return "mail:" + sort + ":" + MailAddress(email) + ":" + strconv.Itoa(i)
}

var mailIDText = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// NewMailID is 48 bits of milliseconds and 80 random ones, in text that sorts alike.
func NewMailID(at time.Time) string {
	var b [18]byte
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli()))
	rand.Read(b[8:])
	return mailIDText.EncodeToString(b[2:])
}

// mailTime is when NewMailID made the id; the zero time if it did not.
func mailTime(id string) time.Time {
	b, err := mailIDText.DecodeString(id)
	if err != nil || len(b) != 16 {
		return time.Time{}
	}
	var ms [8]byte
	copy(ms[2:], b[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC()
}

const dueDigits = 16

func dueValue(at time.Time) string { return fmt.Sprintf("%0*d", dueDigits, max(at.UnixMilli(), 0)) }

// Waiting is what the outbox of a site looks like.
type Waiting struct {
	Due    []string  // ids of mails that are due, the longest due first, as many as were asked for
	Next   time.Time // when the next one is due; zero: none waits
	Count  int       // all that wait, if all were asked for
	Oldest time.Time // when the oldest of them was queued
}

// DueMails looks at the mails that wait. It stops after limit due ones; with all
// it goes through the others too, to count them.
func DueMails(tx Tx, now time.Time, limit int, all bool) (w Waiting, err error) {
	for item, err := range tx.Scan(lookupKind(&Outbox, "due"), nil, nil) {
		if err != nil {
			return w, err
		}
		value, id, _ := bytes.Cut(item.Key, []byte{0})
		ms, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return w, fmt.Errorf("outbox: due %q: %w", value, ErrDamaged)
		}
		due := time.UnixMilli(ms).UTC()
		switch {
		case !due.After(now) && len(w.Due) < limit:
			w.Due = append(w.Due, string(id))
		case w.Next.IsZero():
			w.Next = due
		}
		w.Count++
		if at := mailTime(string(id)); w.Oldest.IsZero() || at.Before(w.Oldest) {
			w.Oldest = at
		}
		if !all && !w.Next.IsZero() {
			break
		}
	}
	return w, nil
}

// ClaimMail gives the mail to who calls, until the lease is over; nil if it is
// not due or not there any more.
func ClaimMail(tx Tx, id, lease string, now, until time.Time) (*OutboxMail, error) {
	m, err := Outbox.Get(tx, id)
	if errors.Is(err, ErrNotFound) || err == nil && m.Due.After(now) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m.Due, m.Lease, m.Tries = until, lease, m.Tries+1
	return &m, Outbox.Put(tx, &m)
}
