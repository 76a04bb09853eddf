// Package arrange sorts short lists. It does what slices.SortFunc does, but all types
// share one implementation: a dozen kilobytes of the binary less for each type
// that a page or a command wants in order.
package arrange

import "sort"

// By sorts list by cmp, which is negative where a comes before b; what is equal
// stays as it stood.
func By[T any](list []T, cmp func(a, b T) int) {
	sort.SliceStable(list, func(i, j int) bool { return cmp(list[i], list[j]) < 0 })
}
