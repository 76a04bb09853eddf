package records

import (
	"errors"

	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/store"
)

// Over remembers a logout for as long as a proof of that login may still lie there,
// which says nothing of who it is about.
func (x *Records) Over(tx store.Tx, gone *session.UpstreamLogout) error {
	var names []string
	if gone.Name == "" {
		m, err := x.subjectMark(tx, SubjectOf(gone.Connection, gone.Subject))
		if err != nil {
			return err
		}
		names = []string{m}
	} else {
		key, indexes, err := x.LoggedOut(tx, gone)
		if err != nil {
			return err
		}
		if names = indexes; len(indexes) == 0 {
			names = []string{key}
		}
	}
	for _, name := range names {
		if err := store.AllSpent.Put(tx, &store.Spent{Key: overKey(name), Expires: x.Now().UTC().Add(store.VisitorProofLife)}); err != nil {
			return err
		}
	}
	return nil
}

// IsOver reports whether the login was over after the proof had been made.
func (x *Records) IsOver(tx store.Tx, c *store.Connection, p *store.VisitorProof, said *store.VisitorProven) (bool, error) {
	subject, err := x.subjectMark(tx, SubjectOf(c, said.Subject))
	if err != nil {
		return false, err
	}
	key, index, err := x.Upstream(tx, c.ID, said.Upstream)
	if err != nil {
		return false, err
	}
	for _, name := range []string{subject, key, index} {
		if name == "" {
			continue
		}
		over, err := store.AllSpent.Get(tx, overKey(name))
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue
		case err != nil:
			return false, err
		case !p.Expires.After(over.Expires): // both live as long
			return true, nil
		}
	}
	return false, nil
}

func overKey(name string) string { return "visitor-out:" + name }
