// Package breakglass lifts one control of a site for a quarter of an hour, so
// that an administrator who is shut out gets in again: single sign-on, the
// allowlist or the second factor.
//
// It is lifted by shell, by an administrator, or by an offline code that was
// printed before, never by mail. One control at a time, and loudly: each step is
// in the audit log, in the log at level warn, and in a mail to every administrator.
// Who asks has been identified by its caller; every function but Run works in the
// caller's transaction. It answers no route.
package breakglass

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Ways in which a control is lifted.
const (
	ByShell         = "shell"
	ByAdministrator = "administrator"
	ByCode          = "code"
)

var (
	// ErrLifted is a second control, or the same one again, while one is lifted.
	ErrLifted = errors.New("a control is lifted already")
	// ErrControl is a control that there is not, or a time over store.MaxBreakGlass.
	ErrControl = errors.New("no such control to lift, or not for so long")
)

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrLifted, Status: http.StatusConflict, OAuth: "invalid_request", Key: "conflict"},
	{Err: ErrControl, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
}

// Kinds of the notices to administrators.
const (
	NoticeLifted = "break_glass_lifted"
	NoticeEnded  = "break_glass_ended"
)

// Options is what a Glass needs, set once. Store is Sites.Store().
type Options struct {
	Store store.Store
	Sites *site.Sites
	Audit *audit.Log
	Now   func() time.Time
	Log   zerolog.Logger
	// Notify queues a mail to an administrator in the transaction; nil: none is sent.
	Notify func(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, kind string, b store.BreakGlass) error
}

// Glass lifts controls.
type Glass struct {
	Options
	wake chan struct{}
}

// New returns a Glass.
func New(o Options) *Glass {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Glass{o, make(chan struct{}, 1)}
}

// endIsKept is how long after its end a lifting is kept for Run to record it.
const endIsKept = 7 * 24 * time.Hour

// Lift lifts the control until d from now. ErrLifted, ErrControl. Call Said after
// the commit.
func (g *Glass) Lift(ctx context.Context, tx store.Tx, s *site.Site, control string, d time.Duration, by audit.Ref, how string) (store.BreakGlass, error) {
	now := g.Now().UTC()
	if !slices.Contains(store.Controls(), control) || d <= 0 || d > store.MaxBreakGlass {
		return store.BreakGlass{}, ErrControl
	}
	if err := g.free(ctx, tx, s, now); err != nil {
		return store.BreakGlass{}, err
	}
	until := now.Add(d)
	b := store.BreakGlass{Control: control, By: by.Type + ":" + by.ID, How: how, Created: now, Until: until, Expires: until.Add(endIsKept)}
	if err := store.BreakGlasses.Put(tx, &b); err != nil {
		return b, fmt.Errorf("lift a control: %w", err)
	}
	err := g.Audit.Record(ctx, tx, audit.Event{
		Action: audit.BreakGlassLift, Actor: by, Object: audit.Ref{Type: "control", ID: control}, Reason: how,
		Changes: []audit.Change{{Field: "until", New: until.Format(time.RFC3339)}},
	})
	if err != nil {
		return b, err
	}
	if err := g.notify(ctx, tx, s, NoticeLifted, b); err != nil {
		return b, err
	}
	return b, site.Changed(tx)
}

// free makes room: a control that is lifted still is in the way, and one whose
// time is over is ended.
func (g *Glass) free(ctx context.Context, tx store.Tx, s *site.Site, now time.Time) error {
	b, err := Status(tx)
	if err != nil || b.Control == "" {
		return err
	}
	if b.Live(now) {
		return fmt.Errorf("%w: %s, until %s", ErrLifted, b.Control, b.Until.Format(time.RFC3339))
	}
	return g.end(ctx, tx, s, b, audit.Ref{}, "time_over")
}

// Status is what is lifted, or was and has not been recorded as ended; the zero
// value: nothing.
func Status(tx store.Tx) (store.BreakGlass, error) {
	b, err := store.BreakGlasses.Get(tx, store.BreakGlassKey)
	if errors.Is(err, store.ErrNotFound) {
		return store.BreakGlass{}, nil
	}
	if err != nil {
		err = fmt.Errorf("load what is lifted: %w", err)
	}
	return b, err
}

// End puts the control back before its time; found is false if none is lifted.
// Call Said after the commit.
func (g *Glass) End(ctx context.Context, tx store.Tx, s *site.Site, by audit.Ref) (b store.BreakGlass, found bool, err error) {
	if b, err = Status(tx); err != nil || b.Control == "" {
		return b, false, err
	}
	live := b.Live(g.Now())
	return b, live, g.end(ctx, tx, s, b, by, "ended")
}

// end records the end. What the lifted allowlist let out carries no networks, so
// it is void from here on.
func (g *Glass) end(ctx context.Context, tx store.Tx, s *site.Site, b store.BreakGlass, by audit.Ref, reason string) error {
	if err := store.BreakGlasses.Delete(tx, store.BreakGlassKey); err != nil {
		return fmt.Errorf("end what is lifted: %w", err)
	}
	if b.Control == store.ControlAllowlist && s.Settings.Allowlist.Enabled {
		if err := session.Announce(tx, g.Now(), store.Revocation{All: true, Reason: "allowlist_changed"}); err != nil {
			return err
		}
	}
	err := g.Audit.Record(ctx, tx, audit.Event{
		Action: audit.BreakGlassEnd, Actor: by, Object: audit.Ref{Type: "control", ID: b.Control}, Reason: reason,
		Changes: []audit.Change{{Field: "until", Old: b.Until.UTC().Format(time.RFC3339)}, {Field: "lifted_by", Old: b.By}},
	})
	if err != nil {
		return err
	}
	if err := g.notify(ctx, tx, s, NoticeEnded, b); err != nil {
		return err
	}
	return site.Changed(tx)
}

func (g *Glass) notify(ctx context.Context, tx store.Tx, s *site.Site, kind string, b store.BreakGlass) error {
	if g.Notify == nil {
		return nil
	}
	for agent, err := range store.Agents.List(tx, "role", policy.Administrators) {
		if err != nil {
			return fmt.Errorf("list the administrators: %w", err)
		}
		if agent.Inactive {
			continue
		}
		if err := g.Notify(ctx, tx, s, agent, kind, b); err != nil {
			return err
		}
	}
	return nil
}

// Said writes what Lift or Use did into the log, once it is committed.
func (g *Glass) Said(s *site.Site, b store.BreakGlass) {
	g.Log.Warn().Str("site", "/"+s.Path).Str("control", b.Control).Str("by", b.By).Str("how", b.How).Time("until", b.Until).Msg("break-glass: a control is lifted")
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// SaidEnded writes what End did into the log, once it is committed.
func (g *Glass) SaidEnded(s *site.Site, b store.BreakGlass) {
	g.Log.Warn().Str("site", "/"+s.Path).Str("control", b.Control).Msg("break-glass: the control holds again")
}

// Word is a control as a sentence names it.
func Word(control string) string { return strings.ReplaceAll(control, "_", " ") }
