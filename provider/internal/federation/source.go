package federation

import (
	"context"

	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/store"
)

// source is one kind of connection.
type source interface {
	// Start says where the browser goes, and notes in at.flow what the answer must
	// fit.
	Start(ctx context.Context, at *attempt, hint asked) (away, error)
	// SignOut says where the browser goes to sign out there too; nowhere, if the
	// provider knows of no such thing.
	SignOut(ctx context.Context, at *attempt, left session.SignedOut) (away, error)
	// Check looks at the configuration, what it fetches included, and signs nobody in.
	Check(ctx context.Context, at *attempt)
}

func (x *Federation) source(kind string) source {
	switch kind {
	case store.ConnectionSAML:
		return samlSource{x}
	case store.ConnectionJWT:
		return jwtSource{x}
	}
	return oidcSource{x}
}
