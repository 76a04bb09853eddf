package bolt

import "slices"

// readSet is what one Update has read from its snapshot.
type readSet struct {
	keys  []string
	spans []span
}

type span struct{ from, to string } // from <= key < to

func (r *readSet) key(key []byte)       { r.keys = append(r.keys, string(key)) }
func (r *readSet) span(from, to []byte) { r.spans = append(r.spans, span{string(from), string(to)}) }

// changed reports whether any of the written keys, which are sorted, was read.
func (r *readSet) changed(written []string) bool {
	for _, k := range r.keys {
		if _, ok := slices.BinarySearch(written, k); ok {
			return true
		}
	}
	for _, s := range r.spans {
		if i, _ := slices.BinarySearch(written, s.from); i < len(written) && written[i] < s.to {
			return true
		}
	}
	return false
}

// history remembers which keys the latest commits wrote, so that an Update can
// tell whether its snapshot still holds.
type history struct {
	since   uint64 // commits up to this one are forgotten
	commits [][]string
	keys    int
}

// maxHistory bounds the memory of history; an Update whose snapshot is older
// than all of it counts as conflicting and runs again.
const maxHistory = 32 << 10

func (h *history) add(written []string) {
	h.commits = append(h.commits, written)
	h.keys += len(written)
	for h.keys > maxHistory && len(h.commits) > 1 {
		h.keys -= len(h.commits[0])
		h.commits[0] = nil
		h.commits = h.commits[1:]
		h.since++
	}
}

// holds reports whether nothing that r names was written after the snapshot.
func (h *history) holds(snapshot uint64, r *readSet) bool {
	if snapshot < h.since {
		return false
	}
	for _, written := range h.commits[min(snapshot-h.since, uint64(len(h.commits))):] {
		if r.changed(written) {
			return false
		}
	}
	return true
}

// insert adds the keys to a sorted list without repeats.
func insert(sorted, keys []string) []string {
	for _, k := range keys {
		if i, ok := slices.BinarySearch(sorted, k); !ok {
			sorted = slices.Insert(sorted, i, k)
		}
	}
	return sorted
}
