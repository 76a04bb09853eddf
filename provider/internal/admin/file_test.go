package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/store"
)

const acme = `sites:
  - path: ""
    name: Acme Support
    domains: [acme.example]
    roles: [{key: supervisors, name: Supervisors, permissions: [chat.monitor, visitor.ban]}]
    departments: [{key: billing, name: Billing, transcripts_to: [Billing@Acme.example], offline_messages_to: []}]
    agents:
      - {email: Ana@acme.example, name: Ana Silva, password: "Plum-tree lamp 42", roles: [administrators], departments: [billing]}
    clients:
      - {client_id: desk, client_name: Agent Desk, company: Acme, client_secret: "0123456789abcdefghijklmnopqrstuv", first_party: true,
         redirect_uris: ["http://localhost:8081/callback"], post_logout_redirect_uris: ["http://localhost:8081/"],
         grant_types: [authorization_code, refresh_token], token_endpoint_auth_method: client_secret_basic, scope: "openid profile email offline_access chat",
         id_token_signed_response_alg: RS256, require_pkce: true, may_assert_ip: false, default_resource: "https://chat.acme.example", rotate_refresh_tokens: true, id_token_on_refresh: true}
    password_policy: {min_length: 8, character_kinds: 3, refuse_names: true, refuse_common: true, history: 5, max_age_days: 40, warn_days: 3, max_changes_per_day: 3, lock_after: 5, lock_minutes: 30}
    ip_allowlist: {enabled: false, console: true, mobile: true, entries: [{cidr: 203.0.113.0/24, note: office}, {range: 192.0.2.10-192.0.2.20, roles: [supervisors]}]}
    resources:
      - {identifier: "https://chat.acme.example", scopes: [history], access_token_format: jwt, signing_alg: ES256, checks_network: true}
`

// read decodes and checks a file as apply does.
func read(text string, loopback bool) (*siteFile, []string, []string) {
	f, faults := decodeFile([]byte(text))
	var warnings []string
	if f != nil {
		c := checker{&faults, &warnings, loopback, nil, func(hash string) error {
			if strings.HasPrefix(hash, "$") {
				return nil
			}
			return errors.New("not a hash")
		}}
		c.file(f)
	}
	var said []string
	var fe *FileError
	if errors.As(faults.err(), &fe) {
		for _, fault := range fe.Faults {
			said = append(said, fault.String())
		}
	}
	return f, said, warnings
}

func TestTheFileOfTheGuideIsUnderstood(t *testing.T) {
	t.Parallel()
	f, faults, warnings := read(acme, false)
	if len(faults)+len(warnings) > 0 {
		t.Fatal(faults, warnings)
	}
	s := f.Sites[0]
	got := []any{deref(s.Name), s.Agents[0].Email, s.Agents[0].Password.reveal(), s.Departments[0].TranscriptsTo[0], s.Departments[0].OfflineMessagesTo, len(s.IPAllowlist.Entries), s.Clients[0].At.n}
	want := []any{"Acme Support", "ana@acme.example", "Plum-tree lamp 42", "billing@acme.example", []string{}, 2, 10}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEveryFaultIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	_, got, _ := read(`sites:
  - path: Acme
    nmae: x
    roles:
      - {key: "Super Visors", permissions: [chat.everything]}
      - {key: administrators, permissions: [chat.join]}
    agents:
      - {email: "not an address"}
      - {email: bob@acme.example, password: short}
      - {email: BOB@acme.example, password_hash: plain}
      - {email: eve@acme.example, password: 12345678}
      - {email: eve@acme.example, email: eve2@acme.example}
      - {email: tom@acme.example, totp_secret: JBSWY3DPEHPK3PXP}
    clients:
      - client_id: desk
        client_secret: hunter2
        redirect_uris: ["javascript:alert(1)", "https://rp.example/cb", "https://rp.example/cb"]
        grant_types: [password]
        response_types: [token]
        jwks: {keys: [{kty: oct, k: c2VjcmV0}]}
        first_party: "yes"
    password_policy: {min_length: 1}
    ip_allowlist:
      enabled: true
      entries:
        - {cidr: 203.0.113.77/24}
        - {ip: 010.0.0.1}
    resources: [{identifier: chat, scopes: [openid]}]
    connections: []
    two_factor: {grace_days: -1}
  - path: Acme
`, false)
	want := []string{
		`line 2: path: a site's path has 1 to 40 letters a-z, digits and inner hyphens, not "Acme"`,
		`line 3: "nmae" is not known here;`,
		`line 5: role: the key "Super Visors" must have`,
		`line 5: role Super Visors: there is no permission "chat.everything"`,
		`line 6: role administrators: it always holds every permission`,
		`line 8: agent: "not an address" is not an e-mail address`,
		`line 10: agent bob@acme.example: password_hash is not`,
		`line 10: agent bob@acme.example is named twice, first in line 9`,
		`line 11: password must be a text: put it in quotes`,
		`line 12: email is given twice, first in line 12`,
		`line 12: agent eve@acme.example is named twice`,
		`line 13: agent tom@acme.example: totp_secret has fewer than 128 random bits`,
		`line 15: client desk: redirect_uris: "javascript:alert(1)" has the scheme javascript`,
		`line 15: client desk: redirect_uris: "https://rp.example/cb" is named twice`,
		`line 15: client desk: grant_types: "password" is not one of`,
		`line 15: client desk: response_types: "token" is not one of code`,
		`line 15: client desk: jwks must hold public keys only`,
		`line 15: client desk: client_secret has fewer than 32 characters`,
		`line 21: first_party must be true or false`,
		`line 22: min_length: 1 is not between 8 and 128`,
		`line 26: ip_allowlist:`,
		`line 27: ip_allowlist:`,
		`line 28: resource: the identifier "chat" is not an absolute URI`,
		`line 28: resource chat: the scope "openid" is the protocol's own`,
		`line 30: grace_days: -1 is not between 0 and 365`,
		`line 31: site "Acme" is named twice, first in line 2`,
		`line 31: path: a site's path`,
	}
	if len(got) != len(want) {
		t.Fatalf("%d faults, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("fault %d\n got %s\nwant %s…", i, got[i], want[i])
		}
	}
}

func TestAShortSecretOnlyWarnsOnLoopback(t *testing.T) {
	t.Parallel()
	text := strings.Replace(acme, "0123456789abcdefghijklmnopqrstuv", "hunter2", 1)
	if _, faults, _ := read(text, false); len(faults) != 1 {
		t.Errorf("off loopback: %q", faults)
	}
	_, faults, warnings := read(text, true)
	if len(faults) > 0 || len(warnings) != 1 {
		t.Errorf("on loopback: %q, %q", faults, warnings)
	}
}

func TestFilesThatAreNotOneDocumentAreRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "a list": "- a\n", "two documents": acme + "---\na: b\n", "aliases": "sites: &a [*a]\n", "not YAML": "sites: [\n",
		"not UTF-8": "sites: \xff\n", "no site": "sites: []\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, faults, _ := read(text, false); len(faults) == 0 {
				t.Error("accepted")
			}
		})
	}
}

func TestRedirectURIsThatCouldLeadElsewhereAreNotRegistered(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"", "/cb", "rp.example/cb", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "http://rp.example/cb", "ftp://rp.example/",
		"https://*.rp.example/cb", "https://rp.example/*", "https://rp.example/cb#x", "https://rp.example/cb#", "https://u@rp.example/cb", "https://u:p@rp.example/cb",
		"https://rp.example/cb?code=1", "https://rp.example/cb?x=1&state=2", "https://rp.example\\@evil.example/", "https://rp.example/a\tb", "https://rp.example/a\r\nb", "https://rp.example/ cb",
		"https://RP.example/cb", "HTTPS://rp.example/cb", "https://rp.example./cb", "https://rp.example:443/cb", "https://rp.example:/cb", "https://rp.example/a/../cb", "https://rp.example/./cb",
		"https://rp.example//cb", "https://rp.example/%2e%2e/cb", "https://rp.example/a%2Fcb", "https://rp.example/%00", "https://rpé.example/cb", "https:rp.example/cb", "https:///cb", "https://",
		"http://127.1/cb", "http://[::ffff:127.0.0.1]/cb", "http://2130706433/cb", "http://localhost.evil.example/cb", "com.example.app:/cb", "https://rp.example/cb\x7f",
	} {
		if CheckRedirectURI(uri, false) == nil {
			t.Errorf("%q was accepted", uri)
		}
	}
	for _, uri := range []string{"javascript:alert(1)", "myapp:/cb", "data:x", "mailto:a@b"} {
		if CheckRedirectURI(uri, true) == nil {
			t.Errorf("%q was accepted for a native client", uri)
		}
	}
}

func TestUsualRedirectURIsAreRegistered(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"https://rp.example/cb", "https://rp.example", "https://rp.example/", "https://rp.example/cb/", "https://rp.example:8443/cb?tenant=1", "http://localhost:8081/callback",
		"http://127.0.0.1/cb", "http://[::1]:9000/cb", "https://xn--bcher-kva.example/cb", "https://rp.example/a%20b",
	} {
		if err := CheckRedirectURI(uri, false); err != nil {
			t.Errorf("%q %v", uri, err)
		}
	}
	if err := CheckRedirectURI("com.example.app:/cb", true); err != nil {
		t.Error(err)
	}
}

func planFor(t *testing.T, text string, have *current, prune bool) (*plan, []string, []string) {
	t.Helper()
	f, said, warnings := read(text, false)
	if len(said) > 0 {
		t.Fatal(said)
	}
	var faults faultList
	if have == nil {
		have = freshCurrent(&f.Sites[0])
	}
	p := planner{&f.Sites[0], have, prune, false, time.Unix(1_800_000_000, 0).UTC(), map[string]string{"ana@acme.example": "$hash"}, testVault(t), &faults, &warnings}
	out := p.plan()
	for _, fault := range faults {
		said = append(said, fault.String())
	}
	return out, said, warnings
}

func testVault(t *testing.T) vault {
	sealer, err := store.NewSealer(bytes.Repeat([]byte("0123"), 8))
	if err != nil {
		t.Fatal(err)
	}
	return vault{sealer, ""}
}

// applied is what a site has after a plan.
func applied(p *plan) *current {
	c := freshCurrent(&fileSite{})
	c.settings = *p.settings.after
	for _, e := range p.roles {
		c.roles[e.after.Key] = *e.after
	}
	for _, e := range p.departments {
		c.departments[e.after.Key] = *e.after
	}
	for _, e := range p.clients {
		c.clients[e.after.ID] = *e.after
	}
	c.connections, c.bans = map[string]store.Connection{}, map[string]store.Ban{}
	for _, e := range p.connections {
		c.connections[e.after.ID] = *e.after
	}
	for _, e := range p.bans {
		c.bans[e.after.ID] = *e.after
	}
	for _, e := range p.agents {
		c.agents[e.after.Email] = *e.after
		c.admins[e.after.ID] = administers(e.after)
	}
	return c
}

func lines(p *plan) []string {
	var out []string
	for _, c := range p.changes() {
		out = append(out, c.String())
	}
	return out
}

func TestAPlanSaysWhatWouldChange(t *testing.T) {
	t.Parallel()
	p, faults, _ := planFor(t, acme, nil, false)
	want := []string{
		"~ settings: domains (none) → [acme.example]; ip_allowlist.entries (none) → [{cidr 203.0.113.0/24, note office} {range 192.0.2.10-192.0.2.20, roles [supervisors]}]",
		"+ resource https://chat.acme.example", "+ role supervisors", "+ department billing", "+ client desk", "+ agent ana@acme.example",
	}
	if diff := cmp.Diff(want, lines(p)); diff != "" || len(faults) > 0 {
		t.Error(diff, faults)
	}
	ana := p.agents[0].after
	if ana.PasswordHash != "$hash" || !ana.EmailVerified || ana.ID == "" {
		t.Errorf("ana is %+v", ana)
	}
}

func TestASecondRunFindsNothingToChange(t *testing.T) {
	t.Parallel()
	p, _, _ := planFor(t, acme, nil, false)
	again, _, warnings := planFor(t, acme, applied(p), true)
	if !again.empty() || len(again.changes()) > 0 || len(warnings) > 0 {
		t.Errorf("%q, %q", lines(again), warnings)
	}
}

func TestAChangeNamesItsFieldsButNoSecret(t *testing.T) {
	t.Parallel()
	p, _, _ := planFor(t, acme, nil, false)
	text := strings.NewReplacer("http://localhost:8081/callback", "https://desk.acme.example/callback", "0123456789abcdefghijklmnopqrstuv", "vutsrqponmlkjihgfedcba9876543210",
		"roles: [administrators]", "roles: [administrators, supervisors]", "Plum-tree lamp 42", "canary of ana", "min_length: 8", "min_length: 12").Replace(acme)
	again, _, warnings := planFor(t, text, applied(p), false)
	want := []string{
		"~ settings: password_policy.min_length 8 → 12",
		"~ client desk: redirect_uris [http://localhost:8081/callback] → [https://desk.acme.example/callback]",
		"~ agent ana@acme.example: roles [administrators] → [administrators supervisors]",
	}
	if diff := cmp.Diff(want, lines(again)); diff != "" {
		t.Error(diff)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "client_secret is not the one in use") {
		t.Errorf("warnings %q", warnings)
	}
	if got := again.agents[0].after.PasswordHash; got != "$hash" {
		t.Errorf("the password hash became %q", got)
	}
}

func TestWhatTheFileDoesNotNameIsKeptUnlessPruned(t *testing.T) {
	t.Parallel()
	p, _, _ := planFor(t, acme, nil, false)
	have := applied(p)
	have.roles["old"] = store.Role{Key: "old"}
	have.departments["old"] = store.Department{Key: "old"}
	have.agents["old@acme.example"] = store.Agent{ID: "1", Email: "old@acme.example", Roles: []string{"old"}}
	have.clients["old"] = NewClient("old", time.Now())
	kept, _, _ := planFor(t, acme, have, false)
	if !kept.empty() {
		t.Errorf("kept: %q", lines(kept))
	}
	pruned, faults, _ := planFor(t, acme, have, true)
	want := []string{"- role old", "- department old", "- client old", "- agent old@acme.example"}
	if diff := cmp.Diff(want, lines(pruned)); diff != "" || len(faults) > 0 {
		t.Error(diff, faults)
	}
	silent, _, _ := planFor(t, "sites:\n  - path: \"\"\n", have, true)
	if !silent.empty() {
		t.Errorf("lists that the file leaves out were pruned: %q", lines(silent))
	}
}

func TestARoleThatAgentsStillHoldIsNotPruned(t *testing.T) {
	t.Parallel()
	have := freshCurrent(&fileSite{})
	have.roles["old"] = store.Role{Key: "old"}
	have.agents["bob@acme.example"] = store.Agent{ID: "1", Email: "bob@acme.example", Roles: []string{"old"}}
	_, faults, _ := planFor(t, "sites:\n  - path: \"\"\n    roles: []\n", have, true)
	if diff := cmp.Diff([]string{"line 2: role old is still held by bob@acme.example"}, faults); diff != "" {
		t.Error(diff)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	t.Parallel()
	p, _, _ := planFor(t, acme, nil, false)
	for name, text := range map[string]string{
		"demoted":     strings.Replace(acme, "roles: [administrators]", "roles: [supervisors]", 1),
		"deactivated": strings.Replace(acme, "roles: [administrators]", "roles: [administrators], active: false", 1),
		"pruned":      strings.Replace(strings.Replace(acme, "Ana@", "bob@", 1), "roles: [administrators]", "roles: [supervisors]", 1),
	} {
		_, faults, _ := planFor(t, text, applied(p), true)
		if len(faults) != 1 || !strings.Contains(faults[0], "without an active administrator") {
			t.Errorf("%s: %q", name, faults)
		}
	}
}

func TestWhatDoesNotFitTogetherIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, fresh, fault string }{
		"an unknown role":         {"roles: [administrators]", "roles: [administrators, ghosts]", `there is no role "ghosts"`},
		"an unknown department":   {"departments: [billing]", "departments: [ghosts]", `there is no department "ghosts"`},
		"an unknown resource":     {`default_resource: "https://chat.acme.example"`, `default_resource: "https://other.example"`, "which the site does not have"},
		"an unknown scope":        {"offline_access chat", "offline_access chat.evrything", "which is neither"},
		"chat for a third party":  {"first_party: true", "first_party: false", "which only first-party clients may"},
		"a public client's PKCE":  {"token_endpoint_auth_method: client_secret_basic", "token_endpoint_auth_method: none", "has no client_secret"},
		"no redirect URI":         {`redirect_uris: ["http://localhost:8081/callback"]`, "redirect_uris: []", "needs redirect_uris"},
		"keys without a key":      {"token_endpoint_auth_method: client_secret_basic", "token_endpoint_auth_method: private_key_jwt", "needs one of jwks and jwks_uri"},
		"an allowlist for nobody": {"roles: [supervisors]}]}", "roles: [ghosts]}]}", `there is no role "ghosts"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(acme, c.old) {
				t.Fatal("the file has changed")
			}
			_, faults, _ := planFor(t, strings.Replace(acme, c.old, c.fresh, 1), nil, false)
			if !strings.Contains(strings.Join(faults, "\n"), c.fault) {
				t.Errorf("faults %q do not say %q", faults, c.fault)
			}
		})
	}
}

func TestSecretsOfAFileAreNeverPrinted(t *testing.T) {
	t.Parallel()
	f, _, _ := read(strings.Replace(acme, "Plum-tree lamp 42", "canary of ana", 1), false)
	raw, err := json.Marshal(f)
	if err != nil || strings.Contains(string(raw), "canary") {
		t.Error(err, string(raw))
	}
}

func FuzzSiteFiles(f *testing.F) {
	f.Add(acme)
	f.Add(fourLogins)
	f.Add("sites: [{path: a, clients: [{client_id: x, jwks: {keys: [{kty: RSA, n: AQAB, e: AQAB}]}}]}]")
	f.Add("sites: &a [*a]\n")
	f.Add("sites: [{ip_allowlist: {entries: [{range: 1.1.1.1-::1}]}}]")
	f.Add("? [a]\n: b\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, faults, _ := read(text, false)
		if len(faults) > 0 || file == nil {
			return
		}
		for i := range file.Sites {
			var wrong faultList
			var warnings []string
			p := planner{&file.Sites[i], freshCurrent(&file.Sites[i]), false, false, time.Unix(0, 0), nil, testVault(t), &wrong, &warnings}
			out := p.plan()
			if len(wrong) > 0 {
				continue
			}
			again := planner{&file.Sites[i], applied(out), true, false, time.Unix(0, 0), nil, testVault(t), &wrong, &warnings}
			if second := again.plan(); len(wrong) == 0 && !second.empty() {
				t.Errorf("a second run changes %q", lines(second))
			}
		}
	})
}
