package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider"
	"github.com/chatelaine-id/chatelaine/store"
)

// The least that a password hash may cost off loopback (OWASP's argon2id).
const (
	leastArgon2MemoryKiB = 19 * 1024
	leastArgon2Time      = 2
)

// check fills in what follows from other settings and reports what cannot be
// used together.
func (c *config) check(f *faults) {
	c.checkPublicURL(f)
	c.checkListen(f)
	c.checkTLS(f)
	c.checkStorage(f)
	c.checkProxies(f)
	c.checkMail(f)
	c.checkNumbers(f)
	c.checkBreached(f)
	oneOf(f, "log.level", c.logLevel, "debug", "info", "warn", "error")
	oneOf(f, "log.format", c.logFormat, "auto", "json", "console")
	if c.metricsListen != "" {
		checkAddress(f, "metrics.listen", c.metricsListen)
	}
	for _, text := range c.privateNetworks {
		network, err := provider.PrivateNetwork(text)
		if err != nil {
			f.add("fetch.private_networks: %q is %v", text, err)
		}
		c.private = append(c.private, network)
	}
	if c.dnsServer != "" {
		checkAddress(f, "dns.server", c.dnsServer)
	}
	if c.public != nil {
		c.checkPlainHTTP(f)
	}
	for _, name := range []string{"database", "smtp.url"} {
		if strings.HasPrefix(c.sources[name], "--") && hasPassword(c, name) {
			c.warn("%s: a password on the command line can be read by every user of this machine; use %s_FILE", name, setting{name: name}.env())
		}
	}
	if c.allowInsecure {
		c.warn("allow_insecure is on: tokens and passwords may travel in the clear")
	}
}

func (c *config) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

func hasPassword(c *config, name string) bool {
	text := c.database.reveal()
	if name == "smtp.url" {
		text = c.smtpURL.reveal()
	}
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return false
	}
	_, has := u.User.Password()
	return has
}

func oneOf(f *faults, name, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		f.add("%s: %q is not one of %s", name, value, strings.Join(allowed, ", "))
	}
}

func (c *config) checkPublicURL(f *faults) {
	u, err := url.Parse(c.publicURL)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		f.add("public_url: %q is not of the form https://host or https://host:port", c.publicURL)
		return
	}
	c.publicURL = u.Scheme + "://" + strings.ToLower(u.Host)
	c.public, _ = url.Parse(c.publicURL)
}

// loopbackHost reports whether a host name or address means this machine alone.
func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func (c *config) checkListen(f *faults) { checkAddress(f, "listen", c.listen) }

func checkAddress(f *faults, name, value string) {
	_, port, err := net.SplitHostPort(value)
	if n, convErr := strconv.Atoi(port); err != nil || convErr != nil || n < 0 || n > 65535 {
		f.add("%s: %q is not of the form host:port", name, value)
	}
}

func (c *config) tls() bool { return c.tlsCert != "" || len(c.acmeDomains) > 0 }

func (c *config) checkTLS(f *faults) {
	if (c.tlsCert == "") != (c.tlsKey == "") {
		f.add("tls.cert and tls.key belong together: give both or neither")
	}
	if c.tlsCert != "" && len(c.acmeDomains) > 0 {
		f.add("tls.cert and tls.acme_domains cannot both be given: certificates come from files or from ACME")
	}
	for _, d := range c.acmeDomains {
		if net.ParseIP(d) != nil || !strings.Contains(d, ".") || strings.ContainsAny(d, "/:*@ ") {
			f.add("tls.acme_domains: %q is not a host name", d)
		}
	}
	if len(c.acmeDomains) > 0 && !strings.HasPrefix(c.acmeDirectory, "https://") {
		f.add("tls.acme_directory: %q is not an https URL", c.acmeDirectory)
	}
}

// checkPlainHTTP refuses to send passwords and tokens in the clear over a
// network: https, or loopback, or somebody said allow_insecure.
func (c *config) checkPlainHTTP(f *faults) {
	secure := c.public.Scheme == "https"
	if c.allowInsecure {
		return
	}
	if !secure && !loopbackHost(c.public.Hostname()) {
		f.add("public_url: %s is not https and not on loopback; use https (or allow_insecure, for a test)", c.publicURL)
	}
	if !secure && c.tls() {
		f.add("public_url: TLS is configured, so it must begin with https://")
	}
	if secure && !c.tls() && len(c.trustedProxies) == 0 {
		c.warn("public_url is https and TLS ends elsewhere: without trusted_proxies every client has the proxy's address")
	}
	host, _, _ := net.SplitHostPort(c.listen)
	if c.tls() || loopbackHost(host) {
		return
	}
	if !secure || len(c.trustedProxies) == 0 {
		f.add("listen: %s is off loopback without TLS; give tls.cert or tls.acme_domains, or stand behind a proxy that speaks https: then set an https public_url and trusted_proxies", c.listen)
	}
}

func (c *config) checkStorage(f *faults) {
	if c.data == "" {
		f.add("data: a folder is needed")
		return
	}
	if c.database.empty() {
		c.database.hide("bolt://" + filepath.Join(c.data, "chatelaine.db"))
	}
	kind, rest, ok := strings.Cut(c.database.reveal(), "://")
	switch {
	case !ok || rest == "" || kind != "bolt" && kind != "postgres" && kind != "postgresql":
		f.add("database: must be bolt://FILE or postgres://USER:PASSWORD@HOST/NAME")
	case kind != "bolt":
		if u, err := url.Parse(c.database.reveal()); err != nil || u.Host == "" && u.Query().Get("host") == "" {
			f.add("database: the postgres URL cannot be read") // its text may hold a password
		}
	}
	if !c.masterKey.empty() {
		if c.masterKeyFile != "" {
			f.add("master_key and master_key_file are both given: keep one")
		}
		if _, err := parseMasterKeys(c.masterKey.reveal()); err != nil {
			f.add("master_key: %v", err)
		}
	}
	if c.masterKeyFile == "" {
		c.masterKeyFile = filepath.Join(c.data, "master.key")
	}
	if c.auditCheckpoints == "" {
		c.auditCheckpoints = filepath.Join(c.data, "audit-checkpoints.jsonl")
	}
}

// boltPath is the database file, or "" when the store is PostgreSQL.
func (c *config) boltPath() string {
	path, ok := strings.CutPrefix(c.database.reveal(), "bolt://")
	if !ok {
		return ""
	}
	return path
}

func parseMasterKeys(text string) ([][]byte, error) {
	var keys [][]byte
	for line := range strings.FieldsSeq(text) {
		key, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(key) != store.MasterKeySize {
			return nil, fmt.Errorf("each line must be %d random bytes in base64 (openssl rand -base64 %d)", store.MasterKeySize, store.MasterKeySize)
		}
		if weakKey(key) {
			return nil, errors.New("a key of repeated bytes is not random; make one with openssl rand -base64 32")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no key")
	}
	return keys, nil
}

// weakKey catches placeholders: 32 random bytes have 8 different ones or more,
// all but certainly.
func weakKey(key []byte) bool {
	different := map[byte]bool{}
	for _, b := range key {
		different[b] = true
	}
	return len(different) < 8
}

func (c *config) checkProxies(f *faults) {
	for _, text := range c.trustedProxies {
		p, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil && addr.Zone() == "" {
			p, err = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
		}
		switch {
		case err != nil:
			f.add("trusted_proxies: %q is not an address or a CIDR", text)
		case p != p.Masked():
			f.add("trusted_proxies: %s has host bits set; write %s", text, p.Masked())
		case p.Bits() == 0:
			f.add("trusted_proxies: %s would let anybody choose their address", text)
		default:
			c.proxies = append(c.proxies, p)
		}
	}
}

func (c *config) checkMail(f *faults) {
	if u, err := url.Parse(c.publicURL); c.mailFrom == "" && !c.smtpURL.empty() && err == nil {
		c.mailFrom = "no-reply@" + mailHost(u.Hostname())
	}
	if err := c.mail().Check(); err != nil {
		f.add("%v", err)
	}
}

// mailHost is the host of our own address: mail servers seldom take a number for
// one.
func mailHost(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return "localhost"
	}
	return host
}

// mail is how mail is sent.
func (c *config) mail() provider.Mail {
	return provider.Mail{URL: c.smtpURL.reveal(), From: c.mailFrom, AllowPlain: c.allowInsecure}
}

func (c *config) checkBreached(f *faults) {
	if c.breachedURL == "" {
		return
	}
	u, err := url.Parse(c.breachedURL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())) {
		f.add("passwords.breached_url: %q is not of the form https://host/path", c.breachedURL)
	}
}

func (c *config) checkNumbers(f *faults) {
	between := func(name string, value, low, high int) {
		if value < low || value > high {
			f.add("%s: %d is not between %d and %d", name, value, low, high)
		}
	}
	between("argon2.time", c.argon2Time, 1, 64)
	between("argon2.threads", c.argon2Threads, 1, 64)
	between("argon2.memory_kib", c.argon2MemoryKiB, 8*max(1, min(c.argon2Threads, 64)), 4<<20)
	between("throttle.per_account", c.throttlePerAccount, 0, 1_000_000)
	between("throttle.per_network", c.throttlePerNetwork, 0, 1_000_000)
	if c.argon2MemoryKiB >= leastArgon2MemoryKiB && c.argon2Time >= leastArgon2Time {
		return
	}
	if c.public != nil && !loopbackHost(c.public.Hostname()) && !c.allowInsecure {
		f.add("argon2: at least %d KiB and %d passes, or stolen hashes are cheap to guess", leastArgon2MemoryKiB, leastArgon2Time)
		return
	}
	c.warn("argon2 is weaker than %d KiB and %d passes: accepted on loopback only", leastArgon2MemoryKiB, leastArgon2Time)
}
