package arrange

import (
	"slices"
	"testing"
)

func TestListsAreSortedAndWhatIsEqualStaysAsItStood(t *testing.T) {
	t.Parallel()
	type pair struct{ key, was int }
	list := []pair{{2, 0}, {1, 1}, {2, 2}, {0, 3}, {1, 4}}
	By(list, func(a, b pair) int { return a.key - b.key })
	if want := []pair{{0, 3}, {1, 1}, {1, 4}, {2, 0}, {2, 2}}; !slices.Equal(list, want) {
		t.Errorf("%v", list)
	}
}
