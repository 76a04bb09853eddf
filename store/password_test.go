package store

import "testing"

func TestAPasswordKindHoldsNoSecret(t *testing.T) {
	t.Parallel()
	for hash, want := range map[string]string{
		"": "",
		"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc": "$argon2id$v=19$m=19456,t=2,p=1",
		"$2b$12$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW":                           "$2b$12",
		"$pbkdf2-sha256$i=1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg":                         "$pbkdf2-sha256$i=1212",
		"$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg":                           "$pbkdf2-sha256$1212",
		"hunter2": "", "a$b": "", "$2": "", "$2b": "",
	} {
		if got := PasswordKind(hash); got != want {
			t.Errorf("%q: %q, want %q", hash, got, want)
		}
	}
}
