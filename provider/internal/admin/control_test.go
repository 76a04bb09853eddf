package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// house is an Admin over a real store.
type house struct {
	*Admin
	t *testing.T
}

// database is the PostgreSQL of the tests that run on both engines.
var database storetest.Shared

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

func open(t *testing.T, on storetest.Engine) (s store.Store, err error) {
	t.Helper()
	if on == storetest.PostgreSQL {
		return postgres.Open(t.Context(), postgres.Options{URL: database.URL(t), AllowAsync: true})
	}
	return bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "test.db")})
}

func newHouse(t *testing.T) *house {
	t.Helper()
	return newHouseOn(t, storetest.Bolt)
}

func newHouseOn(t *testing.T, on storetest.Engine) *house {
	t.Helper()
	s, err := open(t, on)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := s.(io.Closer); ok {
		t.Cleanup(func() { c.Close() })
	}
	sealer, err := store.NewSealer(bytes.Repeat([]byte("0123"), 8))
	if err != nil {
		t.Fatal(err)
	}
	sites, err := site.New(site.Options{Store: s, PublicURL: "https://id.example"})
	if err != nil {
		t.Fatal(err)
	}
	k := keys.New(keys.Options{Store: sites.Store(), Sealer: sealer, Sites: sites})
	log := audit.New(audit.Options{Store: sites.Store(), Sites: sites, Keys: k})
	hasher := password.New(password.Options{MemoryKiB: 8, Time: 1})
	rules, err := password.NewRules(password.RulesOptions{Hasher: hasher})
	if err != nil {
		t.Fatal(err)
	}
	return &house{t: t, Admin: New(Options{
		Store: sites.Store(), Sites: sites, Keys: k, Audit: log, Sealer: sealer, PublicURL: "https://id.example",
		Sessions: session.New(session.Options{Store: sites.Store(), Keys: k, Audit: log}), Passwords: hasher, Rules: rules,
		SetUpLink: func(context.Context, string) (string, error) { return "https://id.example/set-up/x", nil },
	})}
}

// answer is what an operation said.
type answer struct {
	result  json.RawMessage
	failure *Failure
	raw     []byte
}

func (h *house) do(op, in, body string) answer {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/"+op+"?in="+url.QueryEscape(in), strings.NewReader(body))
	r.Header.Set(operatorHeader, "tess")
	w := httptest.NewRecorder()
	h.Control().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		h.t.Fatalf("%s: status %d", op, w.Code)
	}
	var out answer
	for in := bufio.NewReader(w.Body); ; {
		raw, err := in.ReadBytes('\n')
		if err != nil {
			h.t.Fatalf("%s: the answer has no last line", op)
		}
		var line struct {
			Bytes  int64
			Result json.RawMessage
			Error  *Failure
		}
		if err := json.Unmarshal(raw, &line); err != nil {
			h.t.Fatal(err)
		}
		if line.Bytes > 0 {
			var b bytes.Buffer
			if _, err := io.CopyN(&b, in, line.Bytes); err != nil {
				h.t.Fatal(err)
			}
			out.raw = append(out.raw, b.Bytes()...)
		}
		if out.result, out.failure = line.Result, line.Error; line.Result != nil || line.Error != nil {
			return out
		}
	}
}

// must does an operation that works, and returns the lines of what changed.
func (h *house) must(op, in, body string) []string {
	h.t.Helper()
	a := h.do(op, in, body)
	if a.failure != nil {
		h.t.Fatalf("%s: %+v", op, a.failure)
	}
	var out Applied
	if err := json.Unmarshal(a.result, &out); err != nil {
		h.t.Fatal(err)
	}
	lines := []string{}
	for _, c := range out.Changes {
		lines = append(lines, c.Text)
	}
	return lines
}

func (h *house) refused(op, in, body, kind, say string) {
	h.t.Helper()
	a := h.do(op, in, body)
	if a.failure == nil || a.failure.Kind != kind || !strings.Contains(a.failure.Message+fmt.Sprint(a.failure.Faults), say) {
		h.t.Errorf("%s %s: %+v, want %s: %s", op, in, a.failure, kind, say)
	}
}

// view reads from the root site.
func (h *house) view(fn func(store.Tx) error) {
	h.t.Helper()
	if err := h.Store.View(h.t.Context(), "", fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) agent(email string) (a store.Agent) {
	h.view(func(tx store.Tx) (err error) { a, err = store.Agents.Find(tx, "email", email); return err })
	return a
}

// feed is what verifiers have been told since the sequence.
func (h *house) feed() (said []string) {
	h.view(func(tx store.Tx) error {
		said = nil
		for r, err := range store.Revocations.All(tx, "") {
			if err != nil {
				return err
			}
			who := r.Subject + r.ClientID + r.SID
			if r.All {
				who = "all"
			}
			said = append(said, who+" "+r.Reason)
		}
		return nil
	})
	return said
}

// log is the actions of the audit log, oldest first, of those that tess did.
func (h *house) log() (said []string) {
	h.t.Helper()
	for place := (audit.Place{}); !place.Done; {
		found, next, err := h.Audit.Search(h.t.Context(), "", audit.Filter{Actor: "operator:tess"}, place)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, e := range found {
			said = append(said, e.Action)
		}
		place = next
	}
	return said
}

func TestAnAppliedFileStandsInTheStore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	lines := h.must("apply", "", acme)
	want := []string{"+ site /", "+ role supervisors", "+ department billing", "+ client desk", "+ agent ana@acme.example"}
	for _, w := range want {
		if !contains(lines, w) {
			t.Errorf("%q does not say %q", lines, w)
		}
	}
	ana := h.agent("ana@acme.example")
	ok, _, err := h.Passwords.Verify(t.Context(), ana.PasswordHash, "Plum-tree lamp 42")
	if err != nil || !ok {
		t.Errorf("ana's password: %v, %v", ok, err)
	}
	if diff := cmp.Diff([]string{}, h.must("apply", "", acme)); diff != "" {
		t.Errorf("the second run: %s", diff)
	}
	version := h.version()
	h.must("apply", `{"prune":true}`, acme)
	if h.version() != version {
		t.Error("a run without changes wrote something")
	}
}

func contains(list []string, want string) bool {
	for _, s := range list {
		if s == want {
			return true
		}
	}
	return false
}

func (h *house) version() (n uint64) {
	h.view(func(tx store.Tx) error {
		c, err := store.Counters.Get(tx, store.SiteVersion)
		n = c.Value
		return err
	})
	return n
}

func TestADryRunWritesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if lines := h.must("apply", `{"dry_run":true}`, acme); len(lines) == 0 {
		t.Error("nothing would change")
	}
	if all, err := h.Sites.All(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("sites %v, %v", all, err)
	}
}

func TestOneFaultySiteKeepsTheOthersFromChanging(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.refused("apply", "", acme+"  - path: other\n    agents: [{email: x@y.example, roles: [ghosts]}]\n", "usage", `there is no role "ghosts"`)
	if all, err := h.Sites.All(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("sites %v, %v", all, err)
	}
}

func TestAnExportAppliesWithoutChange(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", acme)
	a := h.do("export", "", "")
	if a.failure != nil {
		t.Fatal(a.failure)
	}
	for _, secret := range []string{"a password", "0123456789abcdefghijklmnopqrstuv", "$argon2"} {
		if strings.Contains(string(a.raw), secret) {
			t.Errorf("the export holds %q", secret)
		}
	}
	if diff := cmp.Diff([]string{}, h.must("apply", `{"prune":true}`, string(a.raw))); diff != "" {
		t.Errorf("%s\n%s", diff, a.raw)
	}
	other := newHouse(t)
	other.must("apply", "", string(a.raw))
	if b := other.do("export", "", ""); string(b.raw) != string(a.raw) {
		t.Error(cmp.Diff(string(a.raw), string(b.raw)))
	}
}

func TestARestartNeverRestoresAnOldPassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", acme)
	if a := h.do("agents/set-password", `{"email":"ana@acme.example","password":"Copper kettle 91"}`, ""); a.failure != nil {
		t.Fatal(a.failure)
	}
	before := h.agent("ana@acme.example").PasswordHash
	h.must("apply", "", acme)
	if h.agent("ana@acme.example").PasswordHash != before {
		t.Error("the file's password came back")
	}
}

func TestWhatIsLostIsAnnouncedAndWhatIsGainedIsNot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", strings.Replace(acme, "    clients:", "      - {email: bob@acme.example, roles: [agents, supervisors]}\n    clients:", 1))
	bob := h.agent("bob@acme.example").ID
	steps := []struct{ op, in, body, want string }{
		{"agents/set-roles", `{"email":"bob@acme.example","roles":["agents"]}`, "", bob + " roles_changed"},
		{"agents/set-roles", `{"email":"bob@acme.example","roles":["agents","supervisors"]}`, "", ""},
		{"agents/set-roles", `{"email":"bob@acme.example","roles":["administrators"]}`, "", bob + " became_administrator"},
		{"agents/set-roles", `{"email":"bob@acme.example","roles":["agents"]}`, "", bob + " roles_changed"},
		{"agents/deactivate", `{"email":"bob@acme.example"}`, "", bob + " deactivated"},
		{"agents/activate", `{"email":"bob@acme.example"}`, "", ""},
		{"agents/end-sessions", `{"email":"bob@acme.example"}`, "", bob + " ended_by_operator"},
		{"clients/disable", `{"client_id":"desk"}`, "", "desk client_disabled"},
		{"clients/enable", `{"client_id":"desk"}`, "", ""},
		{"apply", "", "sites: [{path: \"\", roles: [{key: supervisors, permissions: [chat.monitor]}]}]", "all role_changed"},
		{"apply", "", "sites: [{path: \"\", roles: [{key: supervisors, permissions: [chat.monitor, report.view]}]}]", ""},
		{"apply", "", "sites: [{path: \"\", ip_allowlist: {enabled: true}}]", "all allowlist_changed"},
		{"apply", "", "sites: [{path: \"\", ip_allowlist: {enabled: false}}]", ""},
		{"clients/delete", `{"client_id":"desk"}`, "", "desk client_deleted"},
		{"apply", `{"prune":true}`, "sites: [{path: \"\", agents: [{email: ana@acme.example}]}]", bob + " agent_deleted"},
	}
	var want []string
	for _, s := range steps {
		if a := h.do(s.op, s.in, s.body); a.failure != nil {
			t.Fatalf("%s %s: %+v", s.op, s.in, a.failure)
		}
		if s.want != "" {
			want = append(want, s.want)
		}
		if diff := cmp.Diff(want, h.feed()); diff != "" {
			t.Fatalf("after %s %s: %s", s.op, s.in, diff)
		}
	}
}

func TestEveryChangeStandsInTheAuditLogWithItsOperator(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", acme)
	h.must("agents/add", `{"email":"bob@acme.example","roles":["agents"],"password":"Kettle drum 1777"}`, "")
	h.must("agents/deactivate", `{"email":"bob@acme.example"}`, "")
	h.do("clients/rotate-secret", `{"client_id":"desk","overlap_seconds":60}`, "")
	got := strings.Join(h.log(), " ")
	for _, want := range []string{"site.create", "settings.update", "role.create", "department.create", "client.create", "agent.create", "agent.deactivate", "client.secret"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	a := h.do("audit/verify", "", "")
	if a.failure != nil || strings.Contains(string(a.result), "problem") {
		t.Errorf("verify: %s, %+v", a.result, a.failure)
	}
	exported := h.do("audit/export", `{"format":"jsonl"}`, "")
	if exported.failure != nil || !strings.Contains(string(exported.raw), `"agent.create"`) {
		t.Errorf("export: %+v %s", exported.failure, exported.raw)
	}
	for _, secret := range []string{"a password", "0123456789abcdefghijklmnopqrstuv", "argon2"} {
		if strings.Contains(string(exported.raw), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestTheLastAdministratorCannotBeShutOutByACommand(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", acme)
	h.refused("agents/deactivate", `{"email":"ana@acme.example"}`, "", "usage", "without an active administrator")
	h.refused("agents/set-roles", `{"email":"ana@acme.example","roles":[]}`, "", "usage", "without an active administrator")
}

func TestTwoAdministratorsCannotShutEachOtherOutAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", strings.Replace(acme, "    clients:", "      - {email: bob@acme.example, roles: [administrators]}\n    clients:", 1))
	done := make(chan bool, 2)
	for _, email := range []string{"ana@acme.example", "bob@acme.example"} {
		go func() { done <- h.do("agents/deactivate", `{"email":"`+email+`"}`, "").failure == nil }()
	}
	if a, b := <-done, <-done; a == b {
		t.Errorf("deactivated: %v, %v; want exactly one", a, b)
	}
}

func TestOperationsOnWhatIsNotThereSaySo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", acme)
	h.refused("agents/show", `{"email":"who@acme.example"}`, "", "not_found", "there is no agent who@acme.example")
	h.refused("agents/activate", `{"email":"who@acme.example"}`, "", "not_found", "there is no agent")
	h.refused("agents/add", `{"email":"ANA@acme.example"}`, "", "usage", "the agent ana@acme.example is there already")
	h.refused("agents/list", `{"site":"nowhere","limit":1}`, "", "not_found", "there is no site /nowhere")
	h.refused("clients/disable", `{"client_id":"ghost"}`, "", "not_found", "there is no client ghost")
	h.refused("clients/add", `{"client_id":"c","redirect_uris":["http://evil.example/"],"grant_types":["authorization_code"],"scope":"openid"}`, "", "usage", "plain http")
	h.refused("keys/rotate", `{"alg":"HS256"}`, "", "usage", "nothing to rotate")
}

func TestInputThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for in, say := range map[string]string{
		`{"email":"a","email":"b"}`:         "given twice",
		`{"email":"a","Email":"b"}`:         "given twice",
		`{"e-mail":"a"}`:                    "not what this operation takes",
		`{"email":1}`:                       "not what this operation takes",
		`{"email":"a"} {}`:                  "follows",
		`[`:                                 "not what this operation takes",
		strings.Repeat("[", 100):            "nested",
		`{"email":"` + "\xff" + `"}`:        "not UTF-8",
		`{"email":"a","site":["x",{"y":1}]`: "",
	} {
		h.refused("agents/show", in, "", "usage", say)
	}
}

func TestARotatedSecretLivesOnForTheOverlapOnly(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	first := rotated(nil, "one", now, time.Hour)
	second := rotated(first, "two", now.Add(time.Minute), time.Hour)
	if len(second) != 2 || second[0].Hint != "2" || !second[1].Expires.Equal(now.Add(time.Minute+time.Hour)) {
		t.Errorf("%+v", second)
	}
	third := rotated(second, "three", now.Add(2*time.Minute), 0)
	if len(third) != 1 || third[0].Hint != "3" {
		t.Errorf("%+v", third)
	}
}

func TestABackupCanBeMadeAndCheckedWhileInUse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", acme)
	a := h.do("backup", "", "")
	if a.failure != nil || len(a.raw) == 0 || strings.Contains(string(a.raw), "ana@acme.example") {
		t.Errorf("%+v, %d bytes", a.failure, len(a.raw))
	}
	if a := h.do("check", "", ""); a.failure != nil {
		t.Error(a.failure)
	}
}

func TestAgentsAreListedPageByPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	text := "sites:\n  - path: \"\"\n    agents:\n"
	for i := range 7 {
		text += fmt.Sprintf("      - {email: a%d@acme.example, roles: [agents]}\n", i)
	}
	h.must("apply", "", text)
	for _, role := range []string{"", "agents"} {
		seen := map[string]bool{}
		for after := ""; ; {
			a := h.do("agents/list", fmt.Sprintf(`{"limit":3,"after":%q,"role":%q}`, after, role), "")
			var page agentPage
			if err := json.Unmarshal(a.result, &page); err != nil {
				t.Fatal(err, a.failure)
			}
			for _, agent := range page.Agents {
				seen[agent.Email] = true
			}
			if after = page.Next; after == "" {
				break
			}
		}
		if len(seen) != 7 {
			t.Errorf("role %q: %d agents seen", role, len(seen))
		}
	}
}
