package mail

import (
	"strings"
	"testing"
)

func TestServersThatMayBeNamed(t *testing.T) {
	t.Parallel()
	for url, fine := range map[string]bool{
		"smtp://mx.acme.example": true, "smtp://u:p@mx.acme.example:587": true, "smtps://u:p@mx.acme.example": true, "smtps://mx.acme.example:465/": true,
		"smtp://mx.acme.example:25?starttls=required": true, "smtp://u:p%40%2F@mx.acme.example": true, "smtp://[::1]:25?starttls=off": true,
		"smtp://u:p@localhost:25?starttls=off": true, "smtp://127.0.0.1?starttls=off": true,

		"": false, "mx.acme.example": false, "http://mx.acme.example": false, "smtp://": false, "smtp:mx.acme.example": false, "smtp://mx.acme.example/path": false,
		"smtp://mx.acme.example:465": false, "smtp://mx.acme.example:0": false, "smtp://mx.acme.example:99999": false, "smtp://mx.acme.example#x": false,
		"smtp://mx.acme.example?starttls=off": false, "smtp://mx.acme.example?starttls=maybe": false, "smtp://mx.acme.example?tls=off": false,
		"smtp://mx.acme.example?starttls=required&starttls=off": false, "smtps://localhost?starttls=off": false, "smtp://u@mx.acme.example": false,
		"smtp://:p@mx.acme.example": false, "smtp://u:p%0d%0a@mx.acme.example": false, "smtp://u:canary@mx.acme.example:x": false,
	} {
		_, err := ParseServer(url, false)
		if (err == nil) != fine {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	for url, fine := range map[string]bool{"smtp://mx.test?starttls=off": true, "smtp://u:p@mx.test?starttls=off": false} {
		if _, err := ParseServer(url, true); (err == nil) != fine {
			t.Errorf("%s, where plain is allowed: %v", url, err)
		}
	}
}

func TestPortsOfTheirOwn(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]int{"smtp://mx.acme.example": 587, "smtps://mx.acme.example": 465, "smtp://mx.acme.example:25": 25} {
		if s, err := ParseServer(url, false); err != nil || s.port != want {
			t.Errorf("%s: %v, %v", url, s, err)
		}
	}
}

func TestSenders(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]Address{
		"no-reply@acme.example": {"", "no-reply@acme.example"}, "Acme Support <no-reply@acme.example>": {"Acme Support", "no-reply@acme.example"},
		`"Acme, Inc." <a@acme.example>`: {"Acme, Inc.", "a@acme.example"},
	} {
		if got, err := ParseFrom(from); err != nil || got != want {
			t.Errorf("%s: %+v, %v", from, got, err)
		}
	}
	for _, from := range []string{"", "acme", "a@b@c", "a@acme.example, b@acme.example", "a@acme.example\r\nBcc: x@y.example", `"a b"@acme.example`, "ä@acme.example", "a@[127.0.0.1]"} {
		if got, err := ParseFrom(from); err == nil {
			t.Errorf("%q is taken for %+v", from, got)
		}
	}
}

func TestHowWeGreet(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://id.example": "id.example", "http://localhost:8080": "localhost", "http://127.0.0.1:8080": "[127.0.0.1]", "http://[::1]:8080": "[IPv6:::1]",
	} {
		if got := helloName(url); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
}
