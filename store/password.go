package store

import "strings"

// PasswordKind is the part of a password hash that says how it was made,
// without salt and result: "$argon2id$v=19$m=19456,t=2,p=1", "$2b$12",
// "$pbkdf2-sha256$i=600000". Two hashes of one kind take the same time.
func PasswordKind(hash string) string {
	if strings.HasPrefix(hash, "$2") { // bcrypt has no separator between salt and result
		if end := strings.LastIndexByte(hash, '$'); end > 2 {
			return hash[:end]
		}
		return ""
	}
	for range 2 {
		end := strings.LastIndexByte(hash, '$')
		if end < 0 {
			return ""
		}
		hash = hash[:end]
	}
	return hash
}

// PasswordKinds lists the kinds of the site's stored hashes, sorted. Its cost
// is by kinds, not by agents.
func PasswordKinds(tx Tx) ([]string, error) {
	var kinds []string
	from := []byte(nil)
	for {
		kind, err := firstValue(tx, lookupKind(&Agents, "password_kind"), from)
		if err != nil || kind == "" {
			return kinds, err
		}
		kinds = append(kinds, kind)
		from = append([]byte(kind), 1)
	}
}

// firstValue is the value of the first lookup row at or after from, "" if none.
func firstValue(tx Tx, kind Kind, from []byte) (string, error) {
	for item, err := range tx.Scan(kind, from, nil) {
		if err != nil {
			return "", err
		}
		value, _, _ := strings.Cut(string(item.Key), "\x00")
		return value, nil
	}
	return "", nil
}
