package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chatelaine.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func faultsOf(t *testing.T, src source) []string {
	t.Helper()
	_, err := load(src)
	var c *configError
	if !errors.As(err, &c) {
		t.Fatalf("load: %v, want faults", err)
	}
	var out []string
	for _, f := range c.faults {
		out = append(out, strings.TrimPrefix(f, filepath.Dir(src.file)+"/"))
	}
	return out
}

func TestWithoutSettingsTheHouseIsOnLoopback(t *testing.T) {
	t.Parallel()
	c, err := load(source{})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.listen, c.publicURL, c.data, c.database.reveal(), c.masterKeyFile, c.argon2MemoryKiB, len(c.warnings)}
	want := []any{"127.0.0.1:8080", "http://localhost:8080", "./data", "bolt://data/chatelaine.db", "data/master.key", 19456, 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFlagsGoBeforeTheEnvironmentAndThatBeforeTheFile(t *testing.T) {
	t.Parallel()
	file := settingsFile(t, "listen: 127.0.0.1:1\npublic_url: http://localhost:1\nlog:\n  level: debug\n  format: json\ntrusted_proxies: [10.0.0.1, 10.1.0.0/16]\n")
	c, err := load(source{file: file, environ: []string{"CHATELAINE_LISTEN=127.0.0.1:2", "CHATELAINE_LOG_LEVEL=warn", "HOME=/root"}, flags: map[string]string{"listen": "127.0.0.1:3"}})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.listen, c.publicURL, c.logLevel, c.logFormat, fmt.Sprint(c.proxies)}
	want := []string{"127.0.0.1:3", "http://localhost:1", "warn", "json", "[10.0.0.1/32 10.1.0.0/16]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	sources := []string{c.sources["listen"], c.sources["log.level"], filepath.Base(c.sources["log.format"])}
	if diff := cmp.Diff([]string{"--listen", "CHATELAINE_LOG_LEVEL", "chatelaine.yaml:5"}, sources); diff != "" {
		t.Error(diff)
	}
}

func TestEveryFaultOfAFileIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	file := settingsFile(t, `listne: 127.0.0.1:1
data: ./data
data: ./other
log:
  level: info
  colour: red
argon2:
  memory_kib: much
trusted_proxies: 10.0.0.1
allow_insecure: "yes"
mail: none
`)
	want := []string{
		`chatelaine.yaml:1: unknown setting "listne"; did you mean "listen"?`,
		`chatelaine.yaml:3: data is given twice, first in line 2`,
		`chatelaine.yaml:6: unknown setting "log.colour"`,
		`chatelaine.yaml:8: argon2.memory_kib must be a whole number`,
		`chatelaine.yaml:9: trusted_proxies must be a list, such as [a, b]`,
		`chatelaine.yaml:10: allow_insecure must be true or false`,
		`chatelaine.yaml:11: mail must be a mapping of settings`,
		`CHATELAINE_LOGLEVEL: unknown setting; did you mean "CHATELAINE_LOG_LEVEL"?`,
		`--argon2-time: must be a whole number`,
	}
	got := faultsOf(t, source{file: file, environ: []string{"CHATELAINE_LOGLEVEL=debug"}, flags: map[string]string{"argon2.time": "x"}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestVariablesThatKubernetesSetsAreNotOurs(t *testing.T) {
	t.Parallel()
	_, err := load(source{environ: []string{"CHATELAINE_PORT=tcp://10.0.0.1:80", "CHATELAINE_PORT_80_TCP_ADDR=10.0.0.1", "CHATELAINE_SERVICE_HOST=10.0.0.1", "CHATELAINE_SERVICE_PORT_HTTP=80"}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSettingsThatCannotBeUsedTogetherAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ set, fault string }{
		"http off loopback":            {"public_url=http://id.example", "is not https and not on loopback"},
		"a path in public_url":         {"public_url=https://id.example/sso", "is not of the form https://host"},
		"user info in public_url":      {"public_url=https://a@id.example", "is not of the form https://host"},
		"listening in the clear":       {"listen=0.0.0.0:8080", "off loopback without TLS"},
		"an https url without proxies": {"listen=:8080 public_url=https://id.example", "off loopback without TLS"},
		"half a key pair":              {"tls.cert=a.pem public_url=https://id.example", "belong together"},
		"two sources of certificates":  {"tls.cert=a tls.key=b tls.acme_domains=id.example public_url=https://id.example", "cannot both be given"},
		"TLS under an http url":        {"tls.cert=a tls.key=b", "must begin with https://"},
		"an ACME address":              {"tls.acme_domains=192.0.2.1 public_url=https://id.example", "is not a host name"},
		"host bits in a proxy":         {"trusted_proxies=10.0.0.1/8", "write 10.0.0.0/8"},
		"everybody a proxy":            {"trusted_proxies=0.0.0.0/0", "would let anybody"},
		"another database":             {"database=mysql://x", "must be bolt://FILE or postgres://"},
		"a short master key":           {"master_key=c2VjcmV0", "32 random bytes in base64"},
		"a placeholder master key":     {"master_key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "is not random"},
		"weak hashes in public":        {"argon2.memory_kib=1024 public_url=https://id.example", "at least 19456 KiB"},
		"an unknown log level":         {"log.level=loud", "is not one of debug, info, warn, error"},
		"a negative throttle":          {"throttle.per_account=-1", "is not between 0"},
		"a bad port":                   {"listen=127.0.0.1:99999", "is not of the form host:port"},
		"a bad mail server":            {"smtp.url=http://x", "must be smtp://"},
		"mail in the clear":            {"smtp.url=smtp://mx.acme.example?starttls=off mail.from=a@acme.example", "for a server on this machine"},
		"a mail password in the clear": {"smtp.url=smtp://u:p@mx.test?starttls=off mail.from=a@acme.example allow_insecure=true", "a password goes over TLS"},
		"a mail user alone":            {"smtp.url=smtp://u@mx.acme.example mail.from=a@acme.example", "belong together"},
		"TLS on another port":          {"smtp.url=smtp://mx.acme.example:465 mail.from=a@acme.example", "write smtps://"},
		"mail from nobody":             {"smtp.url=smtp://mx.acme.example mail.from=nobody", "mail.from: must be an address"},
		"mail from several":            {"mail.from=a@acme.example,b@acme.example", "mail.from: must be an address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(faultsOf(t, source{flags: pairs(c.set)}), "\n")
			if !strings.Contains(got, c.fault) {
				t.Errorf("faults %q do not say %q", got, c.fault)
			}
		})
	}
}

func pairs(text string) map[string]string {
	flags := map[string]string{}
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		flags[name] = value
	}
	return flags
}

func TestSettingsThatFitTogetherAreAccepted(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]string{
		"behind a proxy":           "listen=:8080 public_url=https://id.example trusted_proxies=10.0.0.0/8",
		"TLS of its own":           "listen=:443 public_url=https://id.example tls.cert=a tls.key=b",
		"ACME":                     "listen=:443 public_url=https://id.example tls.acme_domains=id.example",
		"told to be insecure":      "listen=:8080 public_url=http://id.example allow_insecure=true",
		"IPv6 loopback":            "listen=[::1]:8080 public_url=http://[::1]:8080",
		"weak hashes for a bench":  "argon2.memory_kib=8 argon2.time=1",
		"PostgreSQL over a socket": "database=postgres:///chatelaine?host=/run/postgresql",
		"mail":                     "smtp.url=smtps://u:p@mx.acme.example mail.from=no-reply@acme.example",
		"mail from the house":      "smtp.url=smtp://mx.acme.example",
		"a sender for later":       "mail.from=no-reply@acme.example",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := load(source{flags: pairs(set)}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSecretsComeFromFilesAndAreNeverPrinted(t *testing.T) {
	t.Parallel()
	file := settingsFile(t, "postgres://ana:canary@db.example/chatelaine\n")
	c, err := load(source{environ: []string{"CHATELAINE_DATABASE_FILE=" + file, "CHATELAINE_SMTP_URL=smtp://u:canary@mail.example:587", "CHATELAINE_MAIL_FROM=no-reply@acme.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.database.reveal(); got != "postgres://ana:canary@db.example/chatelaine" {
		t.Errorf("database is %q", got)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %q %x", c.database, c, c.smtpURL, c.database, c.smtpURL, c.database)
	for _, s := range settings() {
		printed += s.show(c)
	}
	if strings.Contains(printed, "canary") {
		t.Errorf("a secret was printed: %s", printed)
	}
}

func TestASecretGivenTwiceIsRefused(t *testing.T) {
	t.Parallel()
	got := faultsOf(t, source{environ: []string{"CHATELAINE_DATABASE_FILE=/dev/null", "CHATELAINE_DATABASE=bolt://x"}})
	if diff := cmp.Diff([]string{"CHATELAINE_DATABASE and CHATELAINE_DATABASE_FILE are both given: keep one"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFaultySecretIsNotEchoed(t *testing.T) {
	t.Parallel()
	src := source{environ: []string{"CHATELAINE_DATABASE=postgres://ana:canary@[::1/x", "CHATELAINE_SMTP_URL=canary", "CHATELAINE_MASTER_KEY=canary"}}
	if got := strings.Join(faultsOf(t, src), "\n"); strings.Contains(got, "canary") {
		t.Error(got)
	}
}

func FuzzSettingsFilesNeverPanic(f *testing.F) {
	f.Add("listen: 127.0.0.1:1\nlog: {level: debug}\n")
	f.Add("a: &a [*a]\n")
	f.Add("- x\n---\n? [a]\n: b\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := &config{sources: map[string]string{}}
		var found faults
		src := source{file: settingsFile(t, text)}
		src.readFile(c, &found)
	})
}
