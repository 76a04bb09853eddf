// Package records keeps what is known of a site's visitors, and who of them is
// banned.
//
// A visitor whom the customer has vouched for has one record, found by MACs of who
// they are to a connection; what is personal in it is sealed. Names that the visitor
// had before are aliases. A ban, its end and an erasure are each one step in a
// transaction, with the entries of the revocation feed that end what the visitor
// holds, and a record in the audit log. It answers no route.
package records

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// ClientID is the client_id of visitors' tokens: RFC 9068 demands one, and a widget
// is not registered.
const ClientID = "visitor"

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrBan, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
	{Err: ErrNotSealed, Status: http.StatusServiceUnavailable, OAuth: "temporarily_unavailable", Key: "busy"},
}

// Options is what Records needs, set once. Store is Sites.Store().
type Options struct {
	Store  store.Store
	Keys   *keys.Keys
	Sealer *store.Sealer
	Audit  *audit.Log
	Now    func() time.Time
}

// Records answers for one house.
type Records struct{ Options }

// New returns Records.
func New(o Options) *Records {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Records{o}
}

// Subject is who a visitor is to a connection.
type Subject struct {
	Connection string `json:"connection"`
	Since      int64  `json:"since"` // store.Connection's
	Subject    string `json:"subject"`
}

// SubjectOf is who that subject of the connection is.
func SubjectOf(c *store.Connection, subject string) Subject {
	return Subject{Connection: c.ID, Since: c.Since(), Subject: subject}
}

// Mark is a MAC of who a visitor is to the connection.
func (x *Records) Mark(tx store.Tx, c *store.Connection, subject string) (string, error) {
	return x.subjectMark(tx, SubjectOf(c, subject))
}

func (x *Records) subjectMark(tx store.Tx, s Subject) (string, error) {
	return x.mark(tx, "subject", s.Connection, strconv.FormatInt(s.Since, 10), s.Subject)
}

// Person is what is known of a visitor; a record holds it sealed. The fields are the
// last that a connection has said.
type Person struct {
	store.VisitorFields
	Subjects []Known `json:"subjects"`
	// Former are the marks of what a connection once said and says no more, so that an
	// erasure finds that too. The newest are last.
	Former []string `json:"former,omitempty"`
}

// Known is who a visitor is to one connection, and what that one says of them.
type Known struct {
	Subject
	ExternalID string `json:"external_id,omitempty"`
	// Mapped: the connection was told where to find ExternalID, and has found it.
	Mapped   bool   `json:"mapped,omitempty"`
	Email    string `json:"email,omitempty"`
	Verified bool   `json:"verified,omitempty"`
	// Last are the external id and the address that the connection has said last, where
	// it says none now: who keeps silent is banned all the same.
	Last struct {
		ExternalID string `json:"external_id,omitempty"`
		Email      string `json:"email,omitempty"`
	} `json:"last,omitzero"`
}

// Knows puts what a connection says of the visitor in the place of what it has said.
func (p *Person) Knows(k Known) {
	i := p.subject(k.Subject)
	if i < 0 {
		p.Subjects = append(p.Subjects, k)
		return
	}
	was := p.Subjects[i]
	if k.ExternalID == "" {
		k.Last.ExternalID = cmp.Or(was.ExternalID, was.Last.ExternalID)
	}
	if k.Email == "" {
		k.Last.Email = cmp.Or(was.Email, was.Last.Email)
	}
	p.Subjects[i] = k
}

func (p *Person) subject(s Subject) int {
	return slices.IndexFunc(p.Subjects, func(k Known) bool { return k.Subject == s })
}

// Absorb adds what is known of a visitor who has turned out to be the same.
func (p *Person) Absorb(other *Person) {
	for _, k := range other.Subjects {
		if p.subject(k.Subject) < 0 {
			p.Subjects = append(p.Subjects, k)
		}
	}
	p.Former = append(p.Former, other.Former...)
}

// said are the external ids and the addresses of all connections together.
func (p *Person) said() (externalIDs, emails []string) {
	externalIDs, emails = added(nil, p.ExternalID), added(nil, p.Email)
	for _, k := range p.Subjects {
		externalIDs, emails = added(externalIDs, cmp.Or(k.ExternalID, k.Last.ExternalID)), added(emails, cmp.Or(k.Email, k.Last.Email))
	}
	return externalIDs, emails
}

// added is the list with the text, unless that is empty or in it.
func added(list []string, text string) []string {
	if text == "" || slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// mark is a MAC of a text under the site's secret; kind keeps the uses apart.
func (x *Records) mark(tx store.Tx, kind string, parts ...string) (string, error) {
	secret, err := x.Keys.SecretIn(tx, keys.SecretMark)
	if err != nil {
		return "", err
	}
	return sum(secret, kind, parts...), nil
}

func sum(secret []byte, kind string, parts ...string) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(kind + "\x00" + strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// Identity is the MAC of one identity token, for a page that is loaded again.
func (x *Records) Identity(tx store.Tx, connection, jti string) (string, error) {
	return x.mark(tx, "identity", connection, jti)
}

// Upstream are the MACs of an Upstream's parts: a logout finds the sessions that rest
// on it by the first, and tells them apart by the second. Empty for none.
func (x *Records) Upstream(tx store.Tx, connection, upstream string) (key, index string, err error) {
	name := store.UpstreamKey(connection, upstream)
	if name == "" {
		return "", "", nil
	}
	if key, err = x.mark(tx, "upstream", name); err != nil {
		return "", "", err
	}
	if _, text, _ := strings.Cut(upstream, "."); text != "" {
		index, err = x.mark(tx, "upstream index", name, text)
	}
	return key, index, err
}

// LoggedOut are the MACs of a logout's name and indexes, as Upstream makes them.
func (x *Records) LoggedOut(tx store.Tx, gone *session.UpstreamLogout) (key string, indexes []string, err error) {
	if key, _, err = x.Upstream(tx, gone.Connection.ID, gone.Name); err != nil {
		return "", nil, err
	}
	for _, text := range gone.Indexes {
		_, index, err := x.Upstream(tx, gone.Connection.ID, gone.Name+"."+text)
		if err != nil {
			return "", nil, err
		}
		indexes = append(indexes, index)
	}
	return key, indexes, nil
}

// maxFormer is how many marks of what was said once are kept.
const maxFormer = 100

// Write seals what is known of the visitor into the record, with what it is found
// by, and puts it.
func (x *Records) Write(tx store.Tx, v *store.Visitor, p *Person) (err error) {
	before := v.Marks
	v.Subjects, v.Marks = nil, nil
	for _, k := range p.Subjects {
		m, err := x.subjectMark(tx, k.Subject)
		if err != nil {
			return err
		}
		v.Subjects = append(v.Subjects, m)
	}
	for _, one := range bannable(p) {
		m, err := x.mark(tx, one.kind, one.text)
		if err != nil {
			return err
		}
		v.Marks = added(v.Marks, m)
	}
	slices.Sort(v.Marks)
	for _, m := range before {
		if !slices.Contains(v.Marks, m) {
			p.Former = added(p.Former, m)
		}
	}
	p.Former = p.Former[max(0, len(p.Former)-maxFormer):]
	plain, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if v.Sealed, err = x.Sealer.Seal(tx.Site(), store.Visitors.Kind, v.ID, plain); err != nil {
		return err
	}
	return store.Visitors.Put(tx, v)
}

// criterion is one thing that a ban may name.
type criterion struct{ kind, text string }

// bannable are those by which a ban finds whom it may be on.
func bannable(p *Person) (all []criterion) {
	externalIDs, emails := p.said()
	for _, id := range externalIDs {
		all = append(all, criterion{"external", id})
	}
	for _, email := range emails {
		all = append(all, criterion{"email", plainEmail(email)})
		_, domain, _ := strings.Cut(email, "@")
		for domain != "" {
			all = append(all, criterion{"domain", strings.ToLower(domain)})
			_, domain, _ = strings.Cut(domain, ".")
		}
	}
	return all
}

// plainEmail is an address without its +tag.
func plainEmail(email string) string {
	local, domain, _ := strings.Cut(strings.ToLower(email), "@")
	if name, _, tagged := strings.Cut(local, "+"); tagged && name != "" {
		local = name
	}
	return local + "@" + strings.TrimSuffix(domain, ".")
}

// Person opens what is known of the visitor.
func (x *Records) Person(path string, v *store.Visitor) (*Person, error) {
	p := &Person{}
	plain, err := x.Sealer.Open(path, store.Visitors.Kind, v.ID, v.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open a visitor's record: %w", err)
	}
	return p, json.Unmarshal(plain, p)
}

// Find is the record of the visitor with that id, or of whom they turned out to be;
// store.ErrNotFound: there is none.
func (x *Records) Find(tx store.Tx, id string) (store.Visitor, error) {
	v, err := store.Visitors.Get(tx, id)
	if err == nil && v.Alias != "" {
		v, err = store.Visitors.Get(tx, v.Alias)
	}
	return v, err
}

// BySubject is the visitor who is that to the connection, or store.ErrNotFound.
func (x *Records) BySubject(tx store.Tx, s Subject) (store.Visitor, error) {
	m, err := x.subjectMark(tx, s)
	if err != nil {
		return store.Visitor{}, err
	}
	return store.Visitors.Find(tx, "subject", m)
}

// Aliases are the other names of the visitor with that id.
func (x *Records) Aliases(tx store.Tx, id string) (ids []string, err error) {
	for key, err := range store.Visitors.Keys(tx, "alias", id) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, key)
	}
	return ids, nil
}

// Names are all that the visitor with that id, or alias, has and had.
func (x *Records) Names(tx store.Tx, id string) ([]string, error) {
	rec, err := x.Find(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return []string{id}, nil
	}
	if err != nil {
		return nil, err
	}
	aliases, err := x.Aliases(tx, rec.ID)
	return append(aliases, rec.ID), err
}

// Facts are what bans are judged by, but for the address. p may be nil.
func (x *Records) Facts(tx store.Tx, id string, p *Person) (policy.BanFacts, error) {
	aliases, err := x.Aliases(tx, id)
	facts := policy.BanFacts{VisitorIDs: append([]string{id}, aliases...)}
	if p == nil || err != nil {
		return facts, err
	}
	facts.ExternalIDs, facts.Emails = p.said()
	for _, k := range p.Subjects {
		m, err := x.subjectMark(tx, k.Subject)
		if err != nil {
			return facts, err
		}
		facts.VisitorIDs = append(facts.VisitorIDs, bySubject+m)
	}
	return facts, nil
}

func absent(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
