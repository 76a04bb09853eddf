package store

// words is the dictionary of packed records: names of fields and common values,
// at most 255. It only grows, at its end: a word's place is what is stored.
var words = [...]string{
	"id", "hash", "client", "agent", "sid", "scopes", "resources", "auth_time", "amr", "acr", "nonce", "claims", "redirect_uri",
	"challenge", "issued", "valid_until", "redeemed", "grant", "expires", "generation", "current", "previous", "rotated", "idle",
	"created", "end", "revoked", "tokens", "n", "marked", "mark", "dead", "life", "ip", "user_agent", "seen", "updated", "email",
	"email_verified", "name", "given_name", "family_name", "nickname", "picture", "locale", "zoneinfo", "phone_number", "address",
	"password_hash", "password_changed", "totp_seed", "roles", "departments", "inactive", "not_before", "key", "count", "first",
	"last", "until", "seq", "b", "l", "s", "m", "p", "f", "v", "e", "jti", "sub", "client_id", "all", "reason", "before", "given",
	"query", "started", "kid", "alg", "private", "published", "activates", "retires", "withdrawn", "sealed", "value", "path", "host",
	// values
	"openid", "profile", "offline_access", "chat", "phone", "admin", "pwd", "otp", "mfa", "hwk", "aal1", "aal2", "phr",
	"administrators", "agents", "refresh_token", "authorization_code", "client_credentials", "ES256", "RS256", "EdDSA",
	"success", "refused", "failed", "site", "subject", "visitor", "supervisors",
	"return", "want_acr", "agent_hint", "fresh", "remembered", "factor_grace",
	"password_history", "password_self_changes", "must_change_password",
	"asked_unknown", "sso_lifted", "login",
}

// wordNumber is a word's place, counted from 1.
var wordNumber = func() map[string]byte {
	numbers := make(map[string]byte, len(words))
	for i, w := range words {
		numbers[w] = byte(i + 1)
	}
	return numbers
}()
