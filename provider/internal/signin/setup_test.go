package signin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// setUpLink makes a link and returns its path; "" if none was made.
func (h *house) setUpLink() string {
	h.t.Helper()
	link, err := h.x.SetUpLink(h.t.Context(), h.site())
	must(h.t, err)
	return strings.TrimPrefix(link, h.url)
}

func (h *house) site() *site.Site {
	h.t.Helper()
	s, err := h.x.Sites.Load(h.t.Context(), "")
	must(h.t, err)
	return s
}

func (h *house) administrators() (n int) {
	h.t.Helper()
	h.view(func(tx store.Tx) {
		n = 0
		for _, err := range store.Agents.Keys(tx, "role", policy.Administrators) {
			must(h.t, err)
			n++
		}
	})
	return n
}

var rootForm = []string{"email", "root@acme.example", "name", "Ruth Root", "new_password", "Plum-tree lamp 42", "confirm_password", "Plum-tree lamp 42"}

func TestTheSetUpLinkCreatesOneAdministratorWhoCanSignIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	path := h.setUpLink()
	b := h.browser()
	for range 2 { // a mail scanner's GET does not spend it
		if got := b.get(path); got.status != http.StatusOK || !strings.Contains(got.body, `name="confirm_password"`) {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if got := b.post(path, rootForm...); got.status != http.StatusOK || !strings.Contains(got.body, "root@acme.example") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	root := h.stored("root@acme.example")
	if root.Name != "Ruth Root" || root.EmailVerified || root.Inactive || !strings.HasPrefix(root.PasswordHash, "$argon2id$") {
		t.Errorf("%+v", root)
	}
	if n := h.audited(); n["set_up.finish"] != 1 {
		t.Errorf("audited %v", n)
	}
	h.view(func(tx store.Tx) {
		if found, err := store.SetUps.Has(tx, store.SetUpKey); found || err != nil {
			t.Errorf("the link is still stored: %v", err)
		}
	})
	for _, got := range []answer{b.get(path), b.post(path, rootForm...)} {
		if got.status != http.StatusGone {
			t.Errorf("used again: %d", got.status)
		}
	}
	if link := h.setUpLink(); link != "" {
		t.Errorf("a link although there is an administrator: %s", link)
	}
	if got := b.signIn("root@acme.example", "Plum-tree lamp 42"); got.status != http.StatusSeeOther {
		t.Errorf("sign-in: %d", got.status)
	}
}

func TestTheOfflineCodesOfTheSetUpLetAShutOutAdministratorIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	done := b.post(h.setUpLink(), rootForm...)
	codes := regexp.MustCompile(`<code>([0-9A-Z-]{20,})</code>`).FindAllStringSubmatch(done.body, -1)
	if len(codes) != 5 || done.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d codes, %v", len(codes), done.header)
	}
	h.settings(func(s *store.Settings) { s.Allowlist = store.Allowlist{Enabled: true, Console: true} })
	if got := b.post("/break-glass", "email", "root@acme.example", "password", "Plum-tree lamp 42", "code", codes[4][1], "control", "allowlist"); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.signIn("root@acme.example", "Plum-tree lamp 42"); got.status != http.StatusSeeOther {
		t.Errorf("sign-in: %d", got.status)
	}
}

func TestOfAHundredClaimsOneSucceeds(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine, func(o *houseOptions) { o.passwords.Queue = 200 })
		path := h.setUpLink()
		var wg sync.WaitGroup
		var mu sync.Mutex
		n := map[int]int{}
		for range 100 {
			wg.Go(func() {
				got := h.browser().post(path, rootForm...)
				mu.Lock()
				defer mu.Unlock()
				n[got.status]++
			})
		}
		wg.Wait()
		if n[http.StatusOK] != 1 || n[http.StatusGone] != 99 || h.administrators() != 1 {
			t.Errorf("answers by status: %v; %d administrators", n, h.administrators())
		}
	})
}

func TestASetUpLinkThatDoesNotWorkLeavesTheRightOneUntouched(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	old := h.setUpLink()
	path := h.setUpLink()
	b := h.browser()
	hashes := h.hashes.Load()
	for name, wrong := range map[string]string{
		"the one before": old, "another": "/set-up/" + strings.Repeat("A", 43), "padded": path + "=", "cut": path[:len(path)-1],
		"with trailing bits": path[:len(path)-1] + string(path[len(path)-1]+1), "odd": "/set-up/%0a", "a line end": path + "%0d%0a",
	} {
		for _, got := range []answer{b.get(wrong), b.post(wrong, rootForm...)} {
			if got.status != http.StatusGone {
				t.Errorf("%s: %d", name, got.status)
			}
		}
	}
	if h.hashes.Load() != hashes {
		t.Error("a link that does not work made us hash")
	}
	if got := b.post(path, rootForm...); got.status != http.StatusOK {
		t.Errorf("the right one: %d", got.status)
	}
}

func TestASetUpLinkRunsOutAndIsVoidOnceThereIsAnAdministrator(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	path := h.setUpLink()
	h.pass(time.Hour)
	if got := h.browser().post(path, rootForm...); got.status != http.StatusGone {
		t.Errorf("after an hour: %d", got.status)
	}
	path = h.setUpLink()
	h.agent(ana, "", func(a *store.Agent) { a.Roles, a.Inactive = []string{policy.Administrators}, true })
	if got := h.browser().post(path, rootForm...); got.status != http.StatusGone || h.administrators() != 1 {
		t.Errorf("with an administrator: %d", got.status)
	}
}

func TestTheSetUpFormListsAllThatIsWrongAndKeepsTheLink(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	path := h.setUpLink()
	b := h.browser()
	for name, c := range map[string]struct {
		fields []string
		want   int // problems in the summary and beside the fields
	}{
		"nothing":     {nil, 3},
		"all wrong":   {[]string{"email", "x", "name", strings.Repeat("n", 121), "new_password", "abc", "confirm_password", "abd"}, 6},
		"the name":    {[]string{"email", "root@acme.example", "name", "Ruth Root", "new_password", "Xx1-RUTH-yz", "confirm_password", "Xx1-RUTH-yz"}, 1},
		"the mailbox": {[]string{"email", "root@acme.example", "name", "R", "new_password", "Xx1-ac\uff4de-yz", "confirm_password", "Xx1-ac\uff4de-yz"}, 1},
		"too long":    {[]string{"email", "root@acme.example", "name", "R", "new_password", strings.Repeat("Ab1-", 40), "confirm_password", "x"}, 2},
		"common":      {[]string{"email", "root@acme.example", "name", "R", "new_password", "P@ssw0rd 2026", "confirm_password", "P@ssw0rd 2026"}, 1},
		"odd name":    {[]string{"email", "root@acme.example", "name", "R\u202eoot", "new_password", "Plum-tree lamp 42", "confirm_password", "Plum-tree lamp 42"}, 1},
	} {
		got := b.post(path, c.fields...)
		if got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, got.status)
		}
		summary, _, _ := strings.Cut(got.body[max(0, strings.Index(got.body, `id="problem"`)):], "</div>")
		if n := strings.Count(summary, "<li>"); n != c.want {
			t.Errorf("%s: %d problems, want %d: %s", name, n, c.want, summary)
		}
		if len(c.fields) > 5 && strings.Contains(got.body, c.fields[5]) {
			t.Errorf("%s: the page shows the password", name)
		}
	}
	h.agent("root@acme.example", "")
	if got := b.post(path, rootForm...); got.status != http.StatusUnprocessableEntity {
		t.Errorf("an address that is taken: %d", got.status)
	}
	if got := b.post(path, append([]string{}, "email", "other@acme.example", "name", "R", "new_password", "Plum-tree lamp 42", "confirm_password", "Plum-tree lamp 42")...); got.status != http.StatusOK {
		t.Errorf("in the end: %d", got.status)
	}
}

func TestTheSetUpFormNamesTheRulesAndTicksThem(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	path := h.setUpLink()
	b := h.browser()
	got := b.get(path)
	for _, rule := range []string{"length", "kinds", "names", "common"} {
		if !strings.Contains(got.body, `data-rule="`+rule+`" data-state=""`) {
			t.Errorf("%s is not named: %s", rule, got.body)
		}
	}
	// Four words are long, and of two kinds of characters only.
	got = b.post(path+"/check", "email", "root@acme.example", "name", "Ruth Root", "new_password", "plum tree lamp ruth")
	for _, tick := range []string{`{"rule":"length","ok":true`, `{"rule":"kinds","ok":false`, `{"rule":"names","ok":false`} {
		if got.status != http.StatusOK || !strings.Contains(got.body, tick) {
			t.Errorf("%d %s has no %s", got.status, got.body, tick)
		}
	}
	got = b.post(path, "email", "root@acme.example", "name", "R", "new_password", "plum tree lamp moon", "confirm_password", "plum tree lamp moon")
	if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, `data-rule="kinds" data-state="failed"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.post("/set-up/"+strings.Repeat("A", 43)+"/check", "new_password", "x"); got.status != http.StatusGone {
		t.Errorf("without the link: %d", got.status)
	}
}

func TestOnlyAHashOfTheSetUpLinkIsStored(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token := strings.TrimPrefix(h.setUpLink(), "/set-up/")
	secret, err := base64.RawURLEncoding.DecodeString(token)
	must(t, err)
	if len(secret) != 32 {
		t.Errorf("%d bytes", len(secret))
	}
	h.view(func(tx store.Tx) {
		rec, err := store.SetUps.Get(tx, store.SetUpKey)
		must(t, err)
		sum := sha256.Sum256(secret)
		if raw, err := json.Marshal(rec); err != nil || bytes.Contains(raw, []byte(token)) || !bytes.Equal(rec.Hash, sum[:]) {
			t.Errorf("stored: %s, %v", raw, err)
		}
	})
}
