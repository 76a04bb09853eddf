// Package admin changes sites on an operator's word: the site file (apply and
// export), and the operations behind the commands for agents, clients, keys,
// the audit log and the store.
//
// Control answers them as JSON over HTTP, for provider.Server.Control: on the
// control socket while a server runs, in process otherwise. Whoever reaches it
// has the data folder, so it asks for no credential; it must never be routed on
// the public listener. Each operation is audited in the transaction that makes
// the change, and announced on the revocation feed where it takes rights away.
package admin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/netip"
	"net/url"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/breakglass"
	"github.com/chatelaine-id/chatelaine/provider/internal/domain"
	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Sentinels of operations. They never reach a page: Control turns them into
// answers of its own.
var (
	errUsage    = errors.New("that cannot be done as asked")
	errNotFound = errors.New("there is no such thing")
)

// Errors has no row: whoever asks over the control socket is told what was wrong.
var Errors []web.ErrorRow

// Options is what an Admin needs, set once.
type Options struct {
	Store     store.Store // Sites.Store(), so that a change is seen at once
	Sites     *site.Sites
	Keys      *keys.Keys
	Audit     *audit.Log
	Sessions  *session.Sessions
	Passwords *password.Hasher
	Rules     *password.Rules
	Factors   *factor.Factors
	Glass     *breakglass.Glass
	Visitors  *records.Records
	Sealer    *store.Sealer
	PublicURL string
	// PrivateNetworks are those in which customers' providers may stand.
	PrivateNetworks []netip.Prefix
	Now             func() time.Time
	// SetUpLink makes a one-time link to create the site's first administrator;
	// empty if it has one.
	SetUpLink func(ctx context.Context, path string) (string, error)
	// InvitationLink makes a one-time link with which an agent chooses a password,
	// and mails it if mail is set up. Nil: there are no invitations.
	InvitationLink func(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, by audit.Ref) (url string, mailed bool, err error)
	// Notice tells an agent by mail what an operator has done, in the transaction;
	// kind is one of templates.Notice…. Nil: no mail is sent.
	Notice func(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, kind string) error
	// CheckConnection looks at a connection's configuration, asks what it names, and
	// signs nobody in. Nil: it is not available.
	CheckConnection func(ctx context.Context, path, id string) ([]store.Check, error)
	// Domains proves the site's domains by DNS. Nil: it is not available.
	Domains *domain.Domains
	// RollOverConnection makes our next key pair of a SAML connection, which signs from
	// then on; forget takes the others away. Nil: it is not available.
	RollOverConnection func(ctx context.Context, path, id string, activates time.Time, forget bool, by audit.Ref) error
}

// Admin does what operators ask.
type Admin struct{ Options }

// New returns an Admin.
func New(o Options) *Admin {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Factors == nil {
		o.Factors = factor.New(factor.Options{Keys: o.Keys, Audit: o.Audit, Now: o.Now})
	}
	if o.Glass == nil {
		o.Glass = breakglass.New(breakglass.Options{Store: o.Store, Sites: o.Sites, Audit: o.Audit, Now: o.Now})
	}
	if o.Visitors == nil {
		o.Visitors = records.New(records.Options{Store: o.Store, Keys: o.Keys, Sealer: o.Sealer, Audit: o.Audit, Now: o.Now})
	}
	a := &Admin{o}
	a.Keys.Observe(a.announceWithdrawal)
	return a
}

// operations are all there are, by name.
func (a *Admin) operations() map[string]operation {
	return map[string]operation{
		"apply":                 takes(a.applyOp),
		"export":                takes(a.exportOp),
		"agents/list":           takes(a.listAgents),
		"agents/show":           takes(a.showAgent),
		"agents/add":            takes(a.addAgent),
		"agents/activate":       takes(a.activateAgent),
		"agents/deactivate":     takes(a.deactivateAgent),
		"agents/delete":         takes(a.deleteAgent),
		"agents/set-roles":      takes(a.setRoles),
		"agents/set-password":   takes(a.setPassword),
		"agents/invite":         takes(a.inviteAgent),
		"agents/unlock":         takes(a.unlockAgent),
		"agents/reset-factors":  takes(a.resetFactors),
		"agents/sessions":       takes(a.listSessions),
		"agents/end-sessions":   takes(a.endSessions),
		"break-glass/status":    takes(a.breakGlassStatus),
		"break-glass/lift":      takes(a.breakGlassLift),
		"break-glass/end":       takes(a.breakGlassEnd),
		"break-glass/codes":     takes(a.breakGlassCodes),
		"agents/unlink":         takes(a.unlinkAgent),
		"connections/list":      takes(a.listConnections),
		"connections/show":      takes(a.showConnection),
		"connections/check":     takes(a.checkConnection),
		"connections/trace":     takes(a.traceConnection),
		"connections/rehearse":  takes(a.rehearseConnection),
		"connections/links":     takes(a.listLinks),
		"connections/roll-over": takes(a.rollOverConnection),
		"domains/list":          takes(a.listDomains),
		"domains/check":         takes(a.checkDomain),
		"visitors/ban":          takes(a.banVisitors),
		"visitors/unban":        takes(a.unbanVisitors),
		"visitors/bans":         takes(a.listBans),
		"visitors/show":         takes(a.showVisitor),
		"visitors/erase":        takes(a.eraseVisitor),
		"clients/list":          takes(a.listClients),
		"clients/show":          takes(a.showClient),
		"clients/add":           takes(a.addClient),
		"clients/rotate-secret": takes(a.rotateSecret),
		"clients/disable":       takes(a.disableClient),
		"clients/enable":        takes(a.enableClient),
		"clients/delete":        takes(a.deleteClient),
		"keys/list":             takes(a.listKeys),
		"keys/rotate":           takes(a.rotateKeys),
		"keys/withdraw":         takes(a.withdrawKeys),
		"audit/verify":          takes(a.verifyAudit),
		"audit/export":          takes(a.exportAudit),
		"backup":                takes(a.backup),
		"restored":              takes(a.restored),
		"check":                 takes(a.check),
		"set-up-link":           takes(a.setUpLink),
	}
}

// loopback reports whether the house is for this machine alone.
func (a *Admin) loopback() bool {
	u, err := url.Parse(a.PublicURL)
	return err == nil && isLoopback(u.Hostname())
}

func (a *Admin) checkHash(hash string) error { return password.ParseHash(hash) }

func (a *Admin) requestID() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

type operatorKey struct{}

func withOperator(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, operatorKey{}, name)
}

// operator is who asked, as their machine knows them.
func operator(ctx context.Context) audit.Ref {
	name, _ := ctx.Value(operatorKey{}).(string)
	return audit.Ref{Type: "operator", ID: name}
}

type siteInput struct {
	Site string `json:"site"`
}

// site loads the site that an operation is about.
func (a *Admin) site(ctx context.Context, path string) (*site.Site, error) {
	s, err := a.Sites.Load(ctx, path)
	if errors.Is(err, site.ErrNoSite) {
		return nil, notFound("site", "/"+path)
	}
	return s, err
}
