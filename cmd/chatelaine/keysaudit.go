package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

type keysCommands struct {
	Settings settingsFlags `embed:""`
	On       onSite        `embed:""`
	List     keysList      `cmd:"" help:"List signing keys."`
	Rotate   keysRotate    `cmd:"" help:"Make a new signing key; the old one stays published while tokens of it live."`
	Withdraw keysWithdraw  `cmd:"" help:"Take a signing key out of use at once, because somebody else may hold it."`
	Master   masterCommand `cmd:"" name:"rotate-master" help:"Make a new master key and seal everything anew; needs the server stopped."`
}

type keyInfo struct {
	KID       string `json:"kid"`
	Alg       string `json:"alg"`
	State     string `json:"state"`
	Created   string `json:"created"`
	Activates string `json:"activates"`
	Retires   string `json:"retires"`
	Withdrawn string `json:"withdrawn"`
}

type keysList struct{}

// Run lists signing keys.
func (*keysList) Run(ctx context.Context, t *terminal, of *keysCommands) error {
	var out struct {
		Keys []keyInfo `json:"keys"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "keys/list", in: map[string]any{"site": of.On.Site}, out: &out}); err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	if !of.On.JSON {
		_, _ = fmt.Fprintln(w, "KID\tALG\tSTATE\tSIGNS FROM\tUNTIL\tPUBLISHED UNTIL")
	}
	for _, k := range out.Keys {
		if of.On.JSON {
			if err := printJSON(t, k); err != nil {
				return err
			}
			continue
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.KID, k.Alg, k.State, k.Activates, dash(k.Retires), dash(k.Withdrawn))
	}
	return w.Flush()
}

type keysRotate struct {
	Alg string `help:"Only the key of this algorithm." enum:"ES256,RS256,EdDSA,all" default:"all"`
}

// Run rotates signing keys.
func (c *keysRotate) Run(ctx context.Context, t *terminal, of *keysCommands) error {
	var out struct {
		Rotated []string `json:"rotated"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "keys/rotate", in: map[string]any{"site": of.On.Site, "alg": c.Alg}, out: &out}); err != nil {
		return err
	}
	for _, alg := range out.Rotated {
		t.say("rotated %s: the new key is published now and signs once verifiers can have it", alg)
	}
	return nil
}

type keysWithdraw struct {
	Alg string `help:"The key of this algorithm." enum:"ES256,RS256,EdDSA" required:"" placeholder:"ALG"`
}

// Run withdraws a signing key.
func (c *keysWithdraw) Run(ctx context.Context, t *terminal, of *keysCommands) error {
	if err := operate(ctx, t, of.Settings, false, request{op: "keys/withdraw", in: map[string]any{"site": of.On.Site, "alg": c.Alg}}); err != nil {
		return err
	}
	t.say("the %s key is withdrawn and a new one signs from now on", c.Alg)
	t.say("every token issued until now is void: backends that follow the revocation feed hear of it at once, agents' clients get new ones by their refresh tokens")
	t.say("other verifiers fail on new tokens, and trust forged ones, until they fetch the keys again: within ten minutes, or restart them")
	return nil
}

type auditCommands struct {
	Settings settingsFlags `embed:""`
	On       onSite        `embed:""`
	Verify   auditVerify   `cmd:"" help:"Prove that no record was altered or cut."`
	Export   auditExport   `cmd:"" help:"Write the records as JSON Lines."`
}

type auditVerify struct {
	Checkpoints string `help:"Checkpoint file that was kept elsewhere, to compare with in place of the house's own." placeholder:"FILE"`
}

// Run verifies the audit log. The kept file is read here, so that it may lie
// where the server may not look, and nothing is written to it.
func (c *auditVerify) Run(ctx context.Context, t *terminal, of *auditCommands) error {
	var raw json.RawMessage
	r := request{op: "audit/verify", in: map[string]any{"site": of.On.Site, "checkpoints": c.Checkpoints != ""}, out: &raw}
	if c.Checkpoints != "" {
		file, err := os.Open(c.Checkpoints)
		if err != nil {
			return usagef("%s", plainFileError(err))
		}
		defer file.Close()
		r.body = file
	}
	if err := operate(ctx, t, of.Settings, false, r); err != nil {
		return err
	}
	var report struct {
		Text    string `json:"text"`
		Problem *struct {
			Where string `json:"where"`
			What  string `json:"what"`
		} `json:"problem"`
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		return err
	}
	if of.On.JSON {
		t.say("%s", raw)
	}
	if report.Problem != nil {
		return fmt.Errorf("the audit log is not whole: %s", report.Text)
	}
	if !of.On.JSON {
		t.say("%s", report.Text)
	}
	return nil
}

type auditExport struct {
	File   string    `arg:"" optional:"" help:"File to write (mode 0600); standard output if left out."`
	CSV    bool      `name:"csv" help:"Write CSV, not JSON Lines."`
	Since  time.Time `help:"Only records from then on (RFC 3339)." placeholder:"TIME"`
	Until  time.Time `help:"Only records before then (RFC 3339)." placeholder:"TIME"`
	Actor  string    `help:"Only what this actor did (id, or type:id)." placeholder:"ID"`
	Action string    `help:"Only this action (area.verb, or area)." placeholder:"NAME"`
	Object string    `help:"Only what was done to this (id, or type:id)." placeholder:"ID"`
	IP     string    `name:"ip" help:"Only from this address." placeholder:"IP"`
}

// Run exports the audit log.
func (c *auditExport) Run(ctx context.Context, t *terminal, of *auditCommands) error {
	in := map[string]any{"site": of.On.Site, "format": "jsonl", "actor": c.Actor, "action": c.Action, "object": c.Object, "ip": c.IP, "since": c.Since, "until": c.Until}
	if c.CSV {
		in["format"] = "csv"
	}
	export := func(w io.Writer) error {
		return operate(ctx, t, of.Settings, false, request{op: "audit/export", in: in, bytes: w})
	}
	if c.File == "" || c.File == "-" {
		return export(t.out)
	}
	return writeNew(c.File, export)
}
