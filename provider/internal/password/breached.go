package password

import "context"

// breached are the sources of breached passwords that there are.
type breached struct{}

func newBreached(RulesOptions) (breached, error) { return breached{}, nil }

func (b breached) here(context.Context, func(error)) func(string) bool { return nil }
func (b breached) ask(context.Context, func(error)) func(string) bool  { return nil }
func (b breached) elsewhere() bool                                     { return false }
