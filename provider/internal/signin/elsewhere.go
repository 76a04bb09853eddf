package signin

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// elsewhere is a link with which somebody would choose a password that could never
// work: their address signs in through a connection alone. It is an ErrLinkSpent, and
// the link works again once that is lifted.
type elsewhere struct {
	conn    *store.Connection
	email   string
	signIn  string // that was left for the link; "" for none
	invited bool
	shut    bool // an administrator whom no rehearsal has linked: not let in there either
}

func (e *elsewhere) Error() string { return "passwords are off for the address of the link" }
func (e *elsewhere) Unwrap() error { return ErrLinkSpent }

// passwordsOff is elsewhere if the site enforces a connection for the agent's address.
func (x *SignIn) passwordsOff(tx store.Tx, s *site.Site, agent *store.Agent, link store.PasswordLink) error {
	c := s.Enforcing(agent.Email, x.Now())
	if c == nil {
		return nil
	}
	e := &elsewhere{conn: c, email: agent.Email, signIn: link.SignIn, invited: link.Invites, shut: slices.Contains(agent.Roles, policy.Administrators)}
	if !e.shut {
		return e
	}
	for l, err := range store.Links.List(tx, "agent", agent.ID) {
		if err != nil {
			return fmt.Errorf("list the agent's links: %w", err)
		}
		if l.Connection == c.ID && l.Rehearsed {
			e.shut = false
		}
	}
	return e
}

// showElsewhere leads to the connection, into the sign-in that was left for the link
// if this browser still has it.
func (x *SignIn) showElsewhere(w http.ResponseWriter, r *http.Request, e *elsewhere) error {
	s := site.From(r.Context())
	f, err := x.Sessions.SignIn(r, s, e.signIn)
	if err != nil {
		f = store.SignIn{}
	}
	status := http.StatusOK
	if r.Method == http.MethodPost {
		status = http.StatusForbidden
	}
	return x.Web.Render(w, r, status, templates.ElsewherePage{
		Frame: x.Web.Frame(r), Email: e.email, Invited: e.invited, Shut: e.shut,
		Connection: templates.ConnectionLink{ID: e.conn.ID, Name: e.conn.Name, URL: flow{SignIn: f}.startURL(s, e.conn, e.email)},
	})
}
