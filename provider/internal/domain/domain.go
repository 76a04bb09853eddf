// Package domain proves that a domain is a site's, by a TXT record that only who
// runs the domain can publish. A domain that the site file names in `domains` needs
// no proof: that is the operator's word.
//
// It owns what the record says, looking it up, and writing down that it was found.
// What a proven domain is good for is federation's. It has no routes: admin asks it
// for the commands, and Run looks by itself.
package domain

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// ErrUnknown is a domain that the site does not name.
var ErrUnknown = errors.New("the site does not name that domain")

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{{Err: ErrUnknown, Status: http.StatusNotFound, OAuth: "not_found", Key: "not_found"}}

const (
	// label is what stands before the domain in the record's name, and prefix what its
	// text begins with.
	label  = "_chatelaine."
	prefix = "chatelaine-site="

	secretDomains = "domain-proof" // keys' name of the secret that makes the records

	lookupTime = 5 * time.Second
	// every is how often domains that are not proven yet are looked up.
	every = 10 * time.Minute
	first = 5 * time.Second // after the start, which has enough to do
	// atOnce bounds the look-ups that are under way.
	atOnce   = 16
	maxFound = 10 // texts of an answer that are shown
)

// Resolver asks the DNS; *net.Resolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// NewResolver asks the name server at that address and port; empty: as the machine
// is set up.
func NewResolver(server string) Resolver {
	if server == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: lookupTime}).DialContext(ctx, network, server)
	}}
}

// Options is what a Domains needs.
type Options struct {
	Store    store.Store // Sites.Store(), so that a change is seen at once
	Sites    *site.Sites
	Keys     *keys.Keys
	Audit    *audit.Log
	Resolver Resolver
	Failed   func(error) // hears of faults in the background; nil: nobody does
	Now      func() time.Time
}

// Domains proves them.
type Domains struct{ Options }

// New returns a Domains.
func New(o Options) *Domains {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	return &Domains{o}
}

// How a domain is proven.
const (
	ByOperator = "site_file"
	ByDNS      = "dns"
)

// State is one of a site's domains.
type State struct {
	Domain string    `json:"domain"`
	By     string    `json:"proven_by,omitempty"` // ByOperator, ByDNS; empty: not yet
	Proven time.Time `json:"proven,omitzero"`     // of ByDNS

	// The TXT record that proves it.
	Record string `json:"record,omitempty"`
	Text   string `json:"text,omitempty"`

	// What a look-up found.
	Found []string `json:"found,omitempty"`
	Fault string   `json:"fault,omitempty"` // empty: the record is there
}

// List are the site's domains as they are, without looking anything up.
func (d *Domains) List(ctx context.Context, path string) ([]State, error) {
	s, err := d.Sites.Load(ctx, path)
	if err != nil {
		return nil, err
	}
	list := make([]State, 0, len(s.Settings.Domains)+len(s.Settings.DNSDomains))
	for _, name := range s.Settings.Domains {
		list = append(list, State{Domain: name, By: ByOperator})
	}
	for _, rec := range s.Settings.DNSDomains {
		if slices.Contains(s.Settings.Domains, rec.Name) {
			continue
		}
		state, err := d.state(ctx, path, rec)
		if err != nil {
			return nil, err
		}
		list = append(list, state)
	}
	return list, nil
}

func (d *Domains) state(ctx context.Context, path string, rec store.DNSDomain) (State, error) {
	secret, err := d.Keys.Secret(ctx, path, secretDomains)
	if err != nil {
		return State{}, err
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(rec.Name))
	state := State{Domain: rec.Name, Record: label + rec.Name, Text: prefix + hex.EncodeToString(mac.Sum(nil)[:16])}
	if !rec.Proven.IsZero() {
		state.By, state.Proven = ByDNS, rec.Proven
	}
	return state, nil
}

// Check looks the record up, and writes down that it was found. Nobody's word is
// needed twice: a proof stands for as long as the site names the domain.
func (d *Domains) Check(ctx context.Context, path, name string, by audit.Ref) (State, error) {
	list, err := d.List(ctx, path)
	if err != nil {
		return State{}, err
	}
	at := slices.IndexFunc(list, func(s State) bool { return s.Domain == name })
	if at < 0 {
		return State{}, ErrUnknown
	}
	state := list[at]
	if state.By == ByOperator {
		return state, nil
	}
	d.look(ctx, &state)
	if state.Fault != "" || state.By == ByDNS {
		return state, nil
	}
	state.By, state.Proven = ByDNS, d.Now().UTC()
	return state, d.write(ctx, path, state, by)
}

// look fills in what the DNS says.
func (d *Domains) look(ctx context.Context, state *State) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	texts, err := d.Resolver.LookupTXT(ctx, state.Record+".") // with the dot no search list is tried
	var no *net.DNSError
	switch {
	case err == nil && slices.Contains(texts, state.Text):
		return
	case err == nil:
		state.Fault = "the record says something else"
	case errors.As(err, &no) && no.IsNotFound:
		state.Fault = "there is no such record"
	default:
		state.Fault = "the name server did not answer"
	}
	for _, text := range texts[:min(len(texts), maxFound)] {
		state.Found = append(state.Found, strings.ToValidUTF8(text[:min(len(text), 255)], "?"))
	}
}

func (d *Domains) write(ctx context.Context, path string, state State, by audit.Ref) error {
	return d.Store.Update(ctx, path, func(tx store.Tx) error {
		settings, err := store.GetSettings(tx)
		if err != nil {
			return err
		}
		list := slices.Clone(settings.DNSDomains)
		at := slices.IndexFunc(list, func(rec store.DNSDomain) bool { return rec.Name == state.Domain })
		if at < 0 { // taken out of the file meanwhile
			return ErrUnknown
		}
		if !list[at].Proven.IsZero() {
			return nil
		}
		list[at].Proven = state.Proven
		settings.DNSDomains = list
		if err := store.AllSettings.Put(tx, &settings); err != nil {
			return err
		}
		if err := site.Changed(tx); err != nil {
			return err
		}
		return d.Audit.Record(ctx, tx, audit.Event{
			Action: audit.DomainProve, Actor: by, Object: audit.Ref{Type: "domain", ID: state.Domain}, Result: audit.Success,
			Changes: []audit.Change{{Field: "record", New: state.Record}},
		})
	})
}

// Run looks up what is not proven yet, until ctx ends.
func (d *Domains) Run(ctx context.Context) error {
	wait := time.NewTimer(first)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
		}
		d.lookAll(ctx)
		wait.Reset(every)
	}
}

func (d *Domains) lookAll(ctx context.Context) {
	sites, err := d.Sites.All(ctx)
	if err != nil {
		d.Failed(fmt.Errorf("look for proofs of domains: %w", err))
		return
	}
	var looking sync.WaitGroup
	defer looking.Wait()
	slots := make(chan struct{}, atOnce)
	for _, rec := range sites {
		s, err := d.Sites.Load(ctx, rec.Path)
		if err != nil {
			d.Failed(err)
			continue
		}
		for _, one := range s.Settings.DNSDomains {
			if !one.Proven.IsZero() || slices.Contains(s.Settings.Domains, one.Name) || ctx.Err() != nil {
				continue
			}
			slots <- struct{}{}
			looking.Go(func() {
				defer func() { <-slots }()
				if _, err := d.Check(ctx, rec.Path, one.Name, audit.Ref{}); err != nil && ctx.Err() == nil && !errors.Is(err, ErrUnknown) {
					d.Failed(fmt.Errorf("look for the proof of %s: %w", one.Name, err))
				}
			})
		}
	}
}
