package main

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// config is every setting with its value. Its zero value is of no use: load
// makes one with the defaults filled in.
type config struct {
	listen    string
	publicURL string
	data      string
	database  secret

	masterKeyFile string
	masterKey     secret

	trustedProxies []string
	dnsServer      string

	privateNetworks []string
	allowInsecure   bool

	tlsCert, tlsKey string
	acmeDomains     []string
	acmeEmail       string
	acmeDirectory   string

	smtpURL  secret
	mailFrom string

	logLevel, logFormat string
	metricsListen       string
	auditCheckpoints    string

	argon2MemoryKiB, argon2Time, argon2Threads int
	throttlePerAccount, throttlePerNetwork     int

	breachedFile, breachedURL string

	// What checking found out on the way.
	public   *url.URL
	proxies  []netip.Prefix
	private  []netip.Prefix
	warnings []string
	sources  map[string]string // setting → where its value comes from
}

// setting is one row of the table that everything else is made of: the file's
// keys, the environment's names, the flags, the help and the documentation.
type setting struct {
	name string
	into func(*config) any // a pointer to string, secret, bool, int or []string
	def  string
	doc  string // one sentence
}

func settings() []setting {
	return []setting{
		{"listen", func(c *config) any { return &c.listen }, "127.0.0.1:8080", "Address and port that serve answers on."},
		{"public_url", func(c *config) any { return &c.publicURL }, "http://localhost:8080", "Where browsers reach the house, as scheme://host[:port]; issuers and links are made from it."},
		{"data", func(c *config) any { return &c.data }, "./data", "Folder of the database, the master key and the control socket; made with mode 0700 if it is not there."},
		{"database", func(c *config) any { return &c.database }, "", "bolt://FILE or postgres://USER:PASSWORD@HOST/NAME; empty means bolt://<data>/chatelaine.db."},
		{"master_key_file", func(c *config) any { return &c.masterKeyFile }, "", "File (mode 0600) of the master keys that seal secrets, base64, one a line, the current one first; empty means <data>/master.key, made at the first start."},
		{"master_key", func(c *config) any { return &c.masterKey }, "", "The master keys themselves in place of a file, for platforms that hand secrets over in the environment."},
		{"trusted_proxies", func(c *config) any { return &c.trustedProxies }, "", "Addresses and CIDRs of reverse proxies whose X-Forwarded-For is believed; nobody else's is."},
		{"fetch.private_networks", func(c *config) any { return &c.privateNetworks }, "", "Networks of private addresses, such as 10.20.0.0/16, in which customers' providers stand: metadata, key sets and tokens are fetched from no other address that is not public."},
		{"dns.server", func(c *config) any { return &c.dnsServer }, "", "Address and port of the name server that is asked whether a domain is a site's, such as a resolver of yours that checks DNSSEC; empty means the machine's."},
		{"allow_insecure", func(c *config) any { return &c.allowInsecure }, "false", "Allow plain http off loopback, and weak settings; never in production."},
		{"tls.cert", func(c *config) any { return &c.tlsCert }, "", "Certificate chain (PEM); read again when the file changes."},
		{"tls.key", func(c *config) any { return &c.tlsKey }, "", "Private key of tls.cert (PEM)."},
		{"tls.acme_domains", func(c *config) any { return &c.acmeDomains }, "", "Host names to get certificates for by ACME (TLS-ALPN-01 on the listen port); using it accepts the authority's terms."},
		{"tls.acme_email", func(c *config) any { return &c.acmeEmail }, "", "Address that the ACME authority may write to."},
		{"tls.acme_directory", func(c *config) any { return &c.acmeDirectory }, "https://acme-v02.api.letsencrypt.org/directory", "Directory URL of the ACME authority."},
		{"smtp.url", func(c *config) any { return &c.smtpURL }, "", "smtp://USER:PASSWORD@HOST:587 (STARTTLS) or smtps://…:465 (TLS) to send mail through; empty means that none is sent. A server on this machine may do without TLS."},
		{"mail.from", func(c *config) any { return &c.mailFrom }, "", "Sender of mails, as no-reply@acme.example or Acme <no-reply@acme.example>; without a name, mails bear the site's. Default: no-reply@ the host of public_url."},
		{"log.level", func(c *config) any { return &c.logLevel }, "info", "debug, info, warn or error."},
		{"log.format", func(c *config) any { return &c.logFormat }, "auto", "json, console, or auto: console on a terminal, json elsewhere."},
		{"metrics.listen", func(c *config) any { return &c.metricsListen }, "", "Address and port for Prometheus at /metrics; empty means none."},
		{"audit.checkpoints", func(c *config) any { return &c.auditCheckpoints }, "", "File that signed checkpoints of the audit log are appended to; empty means <data>/audit-checkpoints.jsonl. Keep a copy elsewhere."},
		{"argon2.memory_kib", func(c *config) any { return &c.argon2MemoryKiB }, "19456", "Memory of one argon2id password hash, in KiB."},
		{"argon2.time", func(c *config) any { return &c.argon2Time }, "2", "Passes of one argon2id password hash."},
		{"argon2.threads", func(c *config) any { return &c.argon2Threads }, "1", "Lanes of one argon2id password hash."},
		{"passwords.breached_file", func(c *config) any { return &c.breachedFile }, "", "File of the SHA-1 hashes of breached passwords, in hex, sorted, one a line, as the downloader of Pwned Passwords writes it; it is searched on disk. Sites refuse what is in it by refuse_breached."},
		{"passwords.breached_url", func(c *config) any { return &c.breachedURL }, "", "https URL of a range service of breached passwords, such as https://api.pwnedpasswords.com/range: it is sent five hex digits of the hash of a password that is to be set. If it does not answer in 2 seconds, the password passes and the log says so."},
		{"throttle.per_account", func(c *config) any { return &c.throttlePerAccount }, "5", "Failed sign-ins in a row before an account is made to wait; 0 switches it off."},
		{"throttle.per_network", func(c *config) any { return &c.throttlePerNetwork }, "50", "Failed sign-ins in a row before a network (an address, an IPv6 /64) is made to wait; 0 switches it off."},
	}
}

const envPrefix = "CHATELAINE_"

// env is the setting's name in the environment.
func (s setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.name, ".", "_"))
}

// flag is the setting's name on the command line, without the dashes.
func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.name) }

// kind says in one word what values look like.
func (s setting) kind() string {
	switch s.into(&config{}).(type) {
	case *bool:
		return "bool"
	case *int:
		return "number"
	case *[]string:
		return "list"
	default:
		return "text"
	}
}

func (s setting) secret() bool {
	_, ok := s.into(&config{}).(*secret)
	return ok
}

// set parses text as the environment and flags give it.
func (s setting) set(c *config, text string) error {
	switch into := s.into(c).(type) {
	case *string:
		*into = text
	case *secret:
		into.hide(text)
	case *bool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return errNotBool
		}
		*into = v
	case *int:
		v, err := strconv.Atoi(text)
		if err != nil {
			return errNotNumber
		}
		*into = v
	case *[]string:
		*into = nil
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*into = append(*into, item)
			}
		}
	}
	return nil
}

// show is the value as check-config prints it.
func (s setting) show(c *config) string {
	switch v := s.into(c).(type) {
	case *string:
		return *v
	case *secret:
		if v.empty() || strings.HasPrefix(v.reveal(), "bolt://") { // a file's name is no secret
			return v.reveal()
		}
		return redacted
	case *bool:
		return strconv.FormatBool(*v)
	case *int:
		return strconv.Itoa(*v)
	case *[]string:
		return strings.Join(*v, ",")
	}
	return ""
}
