package password

// common reports whether a folded password is in the list of common ones.
func common(folded string) bool { return folded == "password" }
