package password

import (
	"context"
	"crypto/sha1" //nolint:gosec // the lists are of SHA-1 hashes

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// breached are the sources of breached passwords that there are. One that does
// not answer lets a password pass: nobody is kept out of their account because a
// disk or somebody else's service is ill.
type breached struct {
	file   *breachedFile  // nil: none
	ranges *breachedRange // nil: none
}

func newBreached(o RulesOptions) (b breached, err error) {
	if o.BreachedFile != "" {
		if b.file, err = openBreachedFile(o.BreachedFile); err != nil {
			return b, err
		}
	}
	if o.BreachedURL != "" {
		// The address is the operator's, who may run such a service beside this one.
		b.ranges = &breachedRange{url: o.BreachedURL, client: web.NewOutboundClient(true)}
	}
	return b, nil
}

// elsewhere reports whether only somebody else's service knows.
func (b breached) elsewhere() bool { return b.file == nil && b.ranges != nil }

// here asks the file alone; nil if there is none. What is being typed is not sent
// to a service: the prefixes of one hash after the other would tell a lot.
func (b breached) here(failed func(error)) func(string) bool {
	if b.file == nil {
		return nil
	}
	return func(pw string) bool {
		known, err := b.file.has(digest(pw))
		if err != nil {
			failed(err)
		}
		return known
	}
}

// ask asks both; nil if there is neither.
func (b breached) ask(ctx context.Context, failed func(error)) func(string) bool {
	here := b.here(failed)
	if b.ranges == nil {
		return here
	}
	return func(pw string) bool {
		if here != nil && here(pw) {
			return true
		}
		known, err := b.ranges.has(ctx, digest(pw))
		if err != nil {
			failed(err)
		}
		return known
	}
}

func digest(pw string) [sha1.Size]byte { return sha1.Sum([]byte(pw)) } //nolint:gosec // see above
