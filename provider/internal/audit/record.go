package audit

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Limits on what one record holds, in bytes; what is longer is cut.
const (
	maxName    = 200 // of an id, action or field
	maxText    = 500 // of a reason or a value
	maxChanges = 50
	saltSize   = 16
	macSize    = 16 // HMAC-SHA256-128 (RFC 4868)
)

// body is a record's bytes, which are chained as they stand; names are short
// because there are millions of them.
type body struct {
	Time     int64        `json:"t"` // milliseconds since 1970
	Action   string       `json:"a"`
	Actor    string       `json:"by,omitempty"` // type ":" id
	Object   string       `json:"of,omitempty"`
	Result   string       `json:"r,omitempty"` // left out: success
	Reason   string       `json:"why,omitempty"`
	Request  string       `json:"q,omitempty"`
	Count    int          `json:"n,omitempty"` // of a rollup: how many in the minute from Time
	Changes  []bodyChange `json:"c,omitempty"`
	Personal []string     `json:"p,omitempty"` // commitments
}

type bodyChange struct {
	Field string `json:"f"`
	Old   string `json:"o,omitempty"`
	New   string `json:"n,omitempty"`
}

// Record writes the event in the caller's transaction; if it cannot be written,
// the change must not happen either. Address, user agent and request id come from
// ctx.
func (l *Log) Record(ctx context.Context, tx store.Tx, e Event) error {
	return l.record(ctx, tx, e, l.Now(), 0)
}

func (l *Log) record(ctx context.Context, tx store.Tx, e Event, at time.Time, count int) error {
	key, err := l.Keys.SecretIn(tx, keys.SecretAudit)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	b := body{
		Time: at.UnixMilli(), Action: clean(e.Action, maxName), Actor: e.Actor.text(), Object: e.Object.text(),
		Reason: clean(e.Reason, maxText), Request: clean(web.RequestID(ctx), maxName), Count: count,
	}
	if e.Result != Success {
		b.Result = clean(e.Result, maxName)
	}
	rec := store.UnsealedAudit{ID: newID(at), Personal: personal(ctx, &e)}
	b.Changes = changes(e.Changes)
	b.Personal = commit(rec.Personal)
	if rec.Body, err = json.Marshal(b); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	rec.MAC = recordMAC(key, rec.ID, rec.Body)
	if err := store.UnsealedAudits.Put(tx, &rec); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := activity(ctx, tx, rec.ID, &e, at, count); err != nil {
		return err
	}
	l.touch(tx.Site())
	return nil
}

func (r Ref) text() string {
	if r.Type == "" && r.ID == "" {
		return ""
	}
	return clean(r.Type, maxName) + ":" + clean(r.ID, maxName)
}

func parseRef(s string) Ref {
	typ, id, _ := strings.Cut(s, ":")
	return Ref{typ, id}
}

// personal lists what the record only commits to.
func personal(ctx context.Context, e *Event) []store.PersonalValue {
	values := make([]store.PersonalValue, 0, len(e.Personal)+2)
	add := func(field, value string) {
		if value != "" {
			values = append(values, store.PersonalValue{Field: clean(field, maxName), Value: clean(value, maxText)})
		}
	}
	if ip := web.ClientIP(ctx); ip.IsValid() {
		add("ip", ip.String())
	}
	add("user_agent", web.UserAgent(ctx))
	for _, field := range slices.Sorted(maps.Keys(e.Personal)) {
		if field != "ip" && field != "user_agent" || !slices.ContainsFunc(values, func(v store.PersonalValue) bool { return v.Field == field }) {
			add(field, e.Personal[field])
		}
	}
	for i, c := range e.Changes[:min(len(e.Changes), maxChanges)] {
		if c.Personal && !secretField(c.Field) {
			add("old."+strconv.Itoa(i), c.Old)
			add("new."+strconv.Itoa(i), c.New)
		}
	}
	salts := make([]byte, saltSize*len(values))
	rand.Read(salts)
	for i := range values {
		values[i].Salt = salts[i*saltSize : (i+1)*saltSize : (i+1)*saltSize]
	}
	return values
}

func commit(values []store.PersonalValue) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = commitTo(v)
	}
	return list
}

// commitTo returns field=commitment.
func commitTo(v store.PersonalValue) string {
	return v.Field + "=" + commitmentSum(v.Salt, v.Field, v.Value)
}

func splitCommitment(s string) (field, sum string) {
	i := strings.LastIndexByte(s, '=')
	return s[:max(i, 0)], s[i+1:]
}

// commitmentSum is HMAC-SHA256-128 with the salt as the key over field, NUL and
// value.
func commitmentSum(salt []byte, field, value string) string {
	return base64.RawURLEncoding.EncodeToString(mac(salt, field, "\x00", value))
}

func changes(list []Change) []bodyChange {
	out := make([]bodyChange, 0, min(len(list), maxChanges+1))
	for i, c := range list {
		if i == maxChanges {
			return append(out, bodyChange{Field: "…", New: strconv.Itoa(len(list)-maxChanges) + " more"})
		}
		b := bodyChange{Field: clean(c.Field, maxName)}
		if !c.Personal && !secretField(c.Field) {
			b.Old, b.New = clean(c.Old, maxText), clean(c.New, maxText)
		}
		out = append(out, b)
	}
	return out
}

// secretField is the second line of defence against a secret in the log: the
// values of such fields are left out whatever a caller says.
func secretField(field string) bool {
	switch field[strings.LastIndexByte(field, '.')+1:] {
	case "password", "password_hash", "client_secret", "secret", "totp_secret", "totp_seed", "token", "private", "cookie", "code":
		return true
	}
	return false
}

// clean returns s as text of one line and at most limit bytes. Characters that
// control a terminal or the direction of text become U+FFFD.
func clean(s string, limit int) string {
	if len(s) <= limit && plain(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > limit-len("…") {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

var idText = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newID is 48 bits of milliseconds and 80 random ones, in text that sorts alike.
func newID(at time.Time) string {
	var b [18]byte
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli()))
	rand.Read(b[8:])
	return idText.EncodeToString(b[2:])
}

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write([]byte(p))
	}
	var sum [sha256.Size]byte
	return h.Sum(sum[:0])[:macSize]
}

// recordMAC binds an unsealed record's bytes to its id and, by the key, to its site.
func recordMAC(key []byte, id string, body []byte) []byte {
	return mac(key, "record\x00", id, "\x00", string(body))
}

func (l *Log) touch(path string) {
	now := l.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.After(l.dirty[path]) {
		l.dirty[path] = now
	}
}

// Entry is a record as it is read: in searches, exports and the console.
type Entry struct {
	Sequence  uint64            `json:"seq,omitempty"` // 0: not sealed yet
	ID        string            `json:"id"`
	Time      time.Time         `json:"time"`
	Action    string            `json:"action"`
	ActorType string            `json:"actor_type,omitempty"`
	ActorID   string            `json:"actor_id,omitempty"`
	Object    string            `json:"object_type,omitempty"`
	ObjectID  string            `json:"object_id,omitempty"`
	Result    string            `json:"result"`
	Reason    string            `json:"reason,omitempty"`
	IP        string            `json:"ip,omitempty"`
	UserAgent string            `json:"user_agent,omitempty"`
	RequestID string            `json:"request_id,omitempty"`
	Count     int               `json:"count,omitempty"`
	Changes   []Change          `json:"changes,omitempty"`
	Personal  map[string]string `json:"personal,omitempty"`
	Erased    []string          `json:"erased,omitempty"` // fields whose values have been erased
	Link      []byte            `json:"link,omitempty"`
}

// read joins a record's bytes and what stands beside them.
func read(id string, raw []byte, values []store.PersonalValue) (Entry, error) {
	var b body
	if err := json.Unmarshal(raw, &b); err != nil {
		return Entry{}, fmt.Errorf("audit record %s: %w: %w", id, store.ErrDamaged, err)
	}
	actor, object := parseRef(b.Actor), parseRef(b.Object)
	e := Entry{
		ID: id, Time: time.UnixMilli(b.Time).UTC(), Action: b.Action, ActorType: actor.Type, ActorID: actor.ID, Object: object.Type, ObjectID: object.ID,
		Result: cmp.Or(b.Result, Success), Reason: b.Reason, RequestID: b.Request, Count: b.Count, Personal: map[string]string{},
	}
	for _, c := range b.Changes {
		e.Changes = append(e.Changes, Change{Field: c.Field, Old: c.Old, New: c.New})
	}
	for _, v := range values {
		if v.Erased != nil {
			e.Erased = append(e.Erased, v.Field)
			continue
		}
		e.personal(v.Field, v.Value)
	}
	return e, nil
}

func (e *Entry) personal(field, value string) {
	which, place, _ := strings.Cut(field, ".")
	i, err := strconv.Atoi(place)
	switch {
	case field == "ip":
		e.IP = value
	case field == "user_agent":
		e.UserAgent = value
	case which == "old" && err == nil && i >= 0 && i < len(e.Changes):
		e.Changes[i].Old = value
	case which == "new" && err == nil && i >= 0 && i < len(e.Changes):
		e.Changes[i].New = value
	default:
		e.Personal[field] = value
	}
}
