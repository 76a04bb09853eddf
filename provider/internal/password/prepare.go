package password

import (
	"context"
	"errors"
	"slices"
	"time"
	"unicode"

	"golang.org/x/text/runes"
	"golang.org/x/text/unicode/norm"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

var (
	// ErrChanged says that the agent's password has been changed by somebody else
	// since it was looked at.
	ErrChanged = errors.New("the password has been changed in the meantime")
	// ErrTooManyChanges says that the agent has changed the password as often as a
	// day allows.
	ErrTooManyChanges = errors.New("the password has been changed too often today")

	errNotPrepared = errors.New("a password that has failed its rules was to be set")
)

// Prepared is a password that has passed its rules, hashed.
type Prepared struct {
	hash  string
	by    By
	rules policy.PasswordRules

	seenHash    string // the agent's, when the rules were asked
	seenChanged time.Time
}

// Prepare holds a password to every rule, the agent's former passwords and the
// number of changes among them, and hashes it. It takes as long as a hash for
// each of those: call it outside of a transaction. If a rule is broken, Prepared
// is of no use and the checks say which. ErrBusy.
func (r *Rules) Prepare(ctx context.Context, s *site.Site, agent *store.Agent, who Who, typed string, by By) (Prepared, []policy.PasswordCheck, error) {
	rules := RulesOf(s.Settings.Password)
	checks := r.Judge(ctx, s, who, typed)
	pw, unusable := Normalize(typed)
	if unusable != nil { // the checks say why, and there is nothing to hash
		return Prepared{}, checks, nil
	}
	slot, err := r.hasher.Slot(ctx)
	if err != nil {
		return Prepared{}, nil, err
	}
	defer slot.Release()
	if most := r.remembered(rules, agent); most > 0 {
		checks = append(checks, policy.PasswordCheck{Rule: policy.PasswordHistory, OK: !usedBefore(slot, agent, most, pw), Wanted: most})
	}
	if by == Self && rules.MaxChangesPerDay > 0 {
		ok, _ := policy.MayChangePassword(rules, agent.PasswordSelfChanges, r.now())
		checks = append(checks, policy.PasswordCheck{Rule: policy.PasswordRate, OK: ok, Wanted: rules.MaxChangesPerDay})
	}
	if len(policy.PasswordFailed(checks)) > 0 || ctx.Err() != nil {
		return Prepared{}, checks, ctx.Err()
	}
	return Prepared{hash: slot.Hash(pw), by: by, rules: rules, seenHash: agent.PasswordHash, seenChanged: agent.PasswordChanged}, checks, nil
}

// remembered is how many former passwords count. One that must be changed is not
// changed into itself, whatever the site says.
func (r *Rules) remembered(rules policy.PasswordRules, agent *store.Agent) int {
	due, _ := policy.PasswordAge(rules, agent.PasswordChanged, r.now())
	if rules.History == 0 && (agent.MustChangePassword || due == policy.PasswordExpired) {
		return 1
	}
	return min(rules.History, policy.MostHistory)
}

// usedBefore reports whether a password is the agent's current one or one of
// those before it, of most in all. It is also tried in its compatibility form
// and without what cannot be seen: one typed in full-width letters, or with a
// zero-width space in it, is no new one.
func usedBefore(slot *Slot, agent *store.Agent, most int, pw string) bool {
	forms := []string{pw}
	if plain := norm.NFKC.String(runes.Remove(runes.In(unicode.Cf)).String(pw)); plain != pw && plain != "" {
		forms = append(forms, plain)
	}
	for _, hash := range former(agent, most) {
		for _, form := range forms {
			if ok, _, err := slot.Verify(hash, form); err == nil && ok {
				return true
			}
		}
	}
	return false
}

// former are the hashes of an agent's last passwords, the current one first.
func former(agent *store.Agent, most int) []string {
	hashes := agent.PasswordHistory
	if agent.PasswordHash != "" {
		hashes = slices.Concat([]string{agent.PasswordHash}, hashes)
	}
	return hashes[:min(max(most, 0), len(hashes))]
}

// Apply gives the agent the password, in the transaction that puts the record:
// the old one becomes one of the former, and unless the agent did it all by
// themselves their account is unlocked. ErrChanged, ErrTooManyChanges.
func (p Prepared) Apply(tx store.Tx, agent *store.Agent, now time.Time) error {
	if p.hash == "" {
		return errNotPrepared
	}
	if agent.PasswordHash != p.seenHash || !agent.PasswordChanged.Equal(p.seenChanged) {
		return ErrChanged
	}
	if p.by == Self {
		if ok, _ := policy.MayChangePassword(p.rules, agent.PasswordSelfChanges, now); !ok {
			return ErrTooManyChanges
		}
		agent.PasswordSelfChanges = append(policy.RecentPasswordChanges(agent.PasswordSelfChanges, now), now)
	}
	agent.PasswordHistory = slices.Clone(former(agent, min(p.rules.History, policy.MostHistory)-1))
	agent.PasswordHash, agent.PasswordChanged, agent.MustChangePassword = p.hash, now, false
	agent.Updated = now
	if p.by == Self {
		return nil
	}
	return store.AllAttempts.Delete(tx, store.AccountAttempts(agent.Email))
}
