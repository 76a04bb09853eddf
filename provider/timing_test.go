package provider_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/chatelaine-id/chatelaine/provider"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// maxTimeApart is how far two kinds of refusal may be apart: the median of the
// differences of samples that were taken side by side, since a machine that others
// use is slower one minute and faster the next.
const maxTimeApart = time.Millisecond

// A wrong password for an address that somebody has, that nobody has, that is
// locked or that has no password: the clock must not tell which. Each sample is
// another address, and the kinds take turns in a random order.
func TestTheTimeOfARefusalDoesNotTellWhoHasAnAccount(t *testing.T) {
	if os.Getenv("LONG_TESTS") == "" {
		t.Skip("thousands of password hashes take minutes: LONG_TESTS=1 asks for them")
	}
	imported, err := bcrypt.GenerateFromPassword([]byte("somebody's"), bcrypt.DefaultCost)
	if err != nil {
		t.Fatal(err)
	}
	known := refusal{"known", func(_ store.Tx, a *store.Agent) (string, error) { return a.Email, nil }}
	unknown := refusal{"unknown", func(_ store.Tx, a *store.Agent) (string, error) { return "not-" + a.Email, nil }}
	locked := refusal{"locked", func(tx store.Tx, a *store.Agent) (string, error) { return a.Email, lock(tx, a.Email) }}
	nobodyLocked := refusal{"unknown and locked", func(tx store.Tx, a *store.Agent) (string, error) {
		return "not-" + a.Email, lock(tx, "not-"+a.Email)
	}}
	bare := refusal{"no password", func(tx store.Tx, a *store.Agent) (string, error) {
		a.PasswordHash = ""
		return a.Email, store.Agents.Put(tx, a)
	}}
	foreign := refusal{"bcrypt", func(tx store.Tx, a *store.Agent) (string, error) {
		a.PasswordHash = string(imported)
		return a.Email, store.Agents.Put(tx, a)
	}}
	t.Run("known and unknown", func(t *testing.T) { compareRefusals(t, 2500, known, unknown) })
	t.Run("locked and without a password", func(t *testing.T) { compareRefusals(t, 300, known, unknown, locked, nobodyLocked, bare) })
	t.Run("a bcrypt hash in the site", func(t *testing.T) { compareRefusals(t, 300, known, unknown, foreign, bare) })
}

// refusal is one kind of address: it makes an agent into one and says what is typed.
type refusal struct {
	name    string
	prepare func(tx store.Tx, a *store.Agent) (email string, err error)
}

func lock(tx store.Tx, email string) error {
	now := time.Now()
	return store.AllAttempts.Put(tx, &store.Attempts{Key: store.AccountAttempts(email), Count: 5, First: now, Last: now, Until: now.Add(time.Hour), Expires: now.Add(2 * time.Hour)})
}

func compareRefusals(t *testing.T, samples int, kinds ...refusal) {
	t.Helper()
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "chatelaine.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	h := startOn(t, engine, "", func(o *provider.Options) { o.Argon2 = provider.Argon2{} })
	emails := prepareRefusals(t, engine, samples, kinds)
	guess := h.guesser()
	took := make([][]time.Duration, len(kinds))
	for i := range samples {
		for _, k := range rand.Perm(len(kinds)) {
			took[k] = append(took[k], guess(emails[k][i]))
		}
	}
	for k, kind := range kinds {
		apart := make([]time.Duration, samples)
		for i := range apart {
			apart[i] = took[k][i] - took[0][i]
		}
		t.Logf("%-20s %d samples, median %v (%v from the first's), of the differences %v", kind.name, samples,
			median(took[k]), median(took[k])-median(took[0]), median(apart))
		if median(apart).Abs() > maxTimeApart {
			t.Errorf("%s and %s are %v apart", kind.name, kinds[0].name, median(apart))
		}
	}
}

// prepareRefusals returns as many addresses of each kind.
func prepareRefusals(t *testing.T, engine store.Engine, samples int, kinds []refusal) [][]string {
	t.Helper()
	if err := storetest.Fill(t.Context(), engine, storetest.Filling{Agents: samples * len(kinds), Began: time.Now()}); err != nil {
		t.Fatal(err)
	}
	emails := make([][]string, len(kinds))
	i := 0
	err := engine.Update(t.Context(), "", func(tx store.Tx) error {
		for a, err := range store.Agents.All(tx, "") {
			if err != nil {
				return err
			}
			if !strings.HasSuffix(a.Email, "@filled.example") {
				continue
			}
			email, err := kinds[i%len(kinds)].prepare(tx, &a)
			if err != nil {
				return err
			}
			emails[i%len(kinds)] = append(emails[i%len(kinds)], email)
			i++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return emails
}

// guesser opens the sign-in page and returns what types a wrong password there
// and tells how long the answer took.
func (h *running) guesser() func(email string) time.Duration {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{}}
	h.t.Cleanup(client.CloseIdleConnections)
	query := url.Values{"response_type": {"code"}, "client_id": {"desk"}, "redirect_uri": {deskCallback}, "scope": {"openid"}, "state": {"s"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}}
	resp, err := client.Get(h.issuer + "/oauth/authorize?" + query.Encode())
	if err != nil {
		h.t.Fatal(err)
	}
	resp.Body.Close()
	form := resp.Request.URL.String()
	return func(email string) time.Duration {
		h.t.Helper()
		body := url.Values{"email": {email}, "password": {"a wrong one"}}.Encode()
		began := time.Now()
		resp, err := client.Post(form, "application/x-www-form-urlencoded", strings.NewReader(body))
		if err != nil {
			h.t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		took := time.Since(began)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusUnprocessableEntity {
			h.t.Fatal(fmt.Errorf("status %d, %w: %s", resp.StatusCode, err, page))
		}
		return took
	}
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2].Round(time.Microsecond)
}
