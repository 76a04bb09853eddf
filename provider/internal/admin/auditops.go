package admin

import (
	"context"
	"errors"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
)

type verifyAuditInput struct {
	Site        string `json:"site"`
	Checkpoints bool   `json:"checkpoints"` // the body is a checkpoint file that was kept elsewhere
}

// verifyAudit recomputes the site's chain and names the first bad position.
func (a *Admin) verifyAudit(ctx context.Context, in verifyAuditInput, c *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	progress := func(done uint64) { c.Progress("verifying records", int64(done), 0) }
	verify := func() (audit.Report, error) { return a.Audit.Verify(ctx, in.Site, progress) }
	if in.Checkpoints {
		verify = func() (audit.Report, error) { return a.Audit.VerifyAgainst(ctx, in.Site, c.Body, progress) }
	}
	report, err := verify()
	if errors.Is(err, audit.ErrNoCheckpoint) {
		return nil, usage("%v", err)
	}
	if err != nil {
		return nil, err
	}
	return struct {
		audit.Report
		Text string `json:"text"`
	}{report, report.String()}, nil
}

type exportAuditInput struct {
	Site   string    `json:"site"`
	Format string    `json:"format"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Object string    `json:"object"`
	IP     string    `json:"ip"`
}

// exportAudit is itself recorded.
func (a *Admin) exportAudit(ctx context.Context, in exportAuditInput, c *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	f := audit.Filter{Since: in.Since, Until: in.Until, Actor: in.Actor, Action: in.Action, Object: in.Object, IP: in.IP}
	return struct{}{}, a.Audit.Export(ctx, in.Site, c, in.Format, f, operator(ctx))
}
