package password

import "time"

// An imported hash of another kind takes another time, which would tell that
// there is such an account. So a refusal is answered at a deadline that hashes
// of every kind in use meet. Kinds are what store.PasswordKinds lists.

const (
	deadlineMargin = 10 * time.Millisecond // for the commit that notes the refusal
	maxDeadline    = 3 * time.Second
)

// Deadline is when a refusal may be answered: later than a check of any of
// these kinds takes, counted from now. Call it before Verify. A kind that has
// not been measured yet is, once.
func (s *Slot) Deadline(kinds []string) time.Time {
	slowest := s.h.cost(s.h.kind)
	for _, kind := range kinds {
		slowest = max(slowest, s.h.cost(kind))
	}
	return s.h.now().Add(min(slowest+slowest/4+deadlineMargin, maxDeadline))
}

// cost is how long a check of that kind takes.
func (h *Hasher) cost(kind string) time.Duration {
	h.mu.Lock()
	cost, ok := h.costs[kind]
	h.mu.Unlock()
	if ok {
		return cost
	}
	v, err := sample(kind)
	if err != nil { // such a hash is checked as nobody's is
		return 0
	}
	began := h.now()
	v.matches("a password to measure with")
	return h.took(kind, began)
}

// took notes that a hash of that kind ran since began. The longest time is kept,
// and forgotten slowly.
func (h *Hasher) took(kind string, began time.Time) time.Duration {
	took := h.now().Sub(began)
	if h.observe != nil {
		h.observe(kind, took)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.costs[kind]
	h.costs[kind] = max(took, was-was/128)
	return took
}
