package password

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
)

func sha(pw string) string {
	sum := sha1.Sum([]byte(pw))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// write makes a file of the hashes of these passwords, with counts of one to nine
// digits.
func write(t testing.TB, end string, passwords ...string) string {
	t.Helper()
	var lines []string
	for i, pw := range passwords {
		lines = append(lines, sha(pw)+":"+strings.Repeat("9", 1+i%9)+end)
	}
	slices.Sort(lines)
	path := filepath.Join(t.TempDir(), "breached.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryLineOfABreachedFileIsFoundAndNoOther(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n"} {
		for _, n := range []int{1, 2, 3, 5, 100, 1001} {
			var passwords []string
			for i := range n {
				passwords = append(passwords, fmt.Sprint("breached ", i))
			}
			path := write(t, end, passwords...)
			b, err := openBreachedFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if known, err := b.has(digest(passwords[i])); !known || err != nil {
					t.Fatalf("%d of %d: %v, %v", i, n, known, err)
				}
				if known, err := b.has(digest(fmt.Sprint("unknown ", i))); known || err != nil {
					t.Fatalf("unknown %d of %d: %v, %v", i, n, known, err)
				}
			}
		}
	}
}

func TestHashesWithoutCountsAndInSmallLettersAreReadToo(t *testing.T) {
	t.Parallel()
	path := write(t, "\n", "one", "two", "three")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(raw)) {
		lines = append(lines, strings.ToLower(line[:hashDigits]))
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil { // without an end to the last line
		t.Fatal(err)
	}
	b, err := openBreachedFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for pw, want := range map[string]bool{"one": true, "two": true, "three": true, "four": false} {
		if known, err := b.has(digest(pw)); known != want || err != nil {
			t.Errorf("%s: %v, %v", pw, known, err)
		}
	}
}

func TestAFileThatIsNoListOfHashesIsRefusedAtStart(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile(write(t, "\n", "one", "two", "three", "four", "five"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(good), "\n"), "\n")
	slices.Reverse(lines)
	for name, text := range map[string]string{
		"empty": "", "passwords": "123456\npassword\n", "NTLM": "0123456789ABCDEF0123456789ABCDEF:3\n", "unsorted": strings.Join(lines, ""),
		"one long line": strings.Repeat("A", 10_000), "binary": strings.Repeat("\x00\xff", 500), "not hex": strings.Repeat("Z", 40) + ":1\n",
	} {
		path := filepath.Join(t.TempDir(), "list.txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewRules(RulesOptions{Hasher: least(), BreachedFile: path}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "nothing"), t.TempDir()} {
		if _, err := NewRules(RulesOptions{Hasher: least(), BreachedFile: path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestABreachedPasswordIsRefusedByTheTicksAndTheServer(t *testing.T) {
	t.Parallel()
	path := write(t, "\n", "Velvet kettle 10", "another")
	var failed atomic.Int32
	r := newRules(t, func(o *RulesOptions) { o.BreachedFile, o.Failed = path, func(error) { failed.Add(1) } })
	s, who := acme(policy.PasswordGuide()), Who{}
	if said := broken(r.Check(s, who, "Velvet kettle 10")); !slices.Equal(said, []string{policy.PasswordBreached}) {
		t.Errorf("ticks: %v", said)
	}
	if _, checks, err := r.Prepare(t.Context(), s, &store.Agent{}, who, "Velvet kettle 10", Reset); err != nil || !slices.Equal(broken(checks), []string{policy.PasswordBreached}) {
		t.Errorf("%v, %v", checks, err)
	}
	off := policy.PasswordGuide()
	off.RefuseBreached = false
	if said := broken(r.Check(acme(off), who, "Velvet kettle 10")); len(said) > 0 {
		t.Errorf("with the rule off: %v", said)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if said := broken(r.Check(s, who, "Velvet kettle 10")); len(said) > 0 || failed.Load() != 1 {
		t.Errorf("with the file gone: %v, %d faults told", said, failed.Load())
	}
}

func TestAServiceLearnsFiveDigitsAndOnlyOfWhatIsSet(t *testing.T) {
	t.Parallel()
	hash := sha("Velvet kettle 10")
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String()+" "+r.Header.Get("Add-Padding"))
		fmt.Fprintf(w, "%s:17\r\n%s:0\r\n", strings.Repeat("0", 35), sha("Velvet kettle 11")[5:])
		if strings.HasSuffix(r.URL.Path, hash[:5]) {
			fmt.Fprintf(w, "%s:3\r\n", hash[5:])
		}
	}))
	t.Cleanup(server.Close)
	r := newRules(t, func(o *RulesOptions) { o.BreachedURL = server.URL + "/range/" })
	s := acme(policy.PasswordGuide())
	live := r.Check(s, Who{}, "Velvet kettle 10")
	if len(asked) > 0 || !slices.Contains(live, policy.PasswordCheck{Rule: policy.PasswordBreached, OK: true, Later: true}) {
		t.Errorf("typing asked %v: %+v", asked, live)
	}
	for pw, want := range map[string][]string{"Velvet kettle 10": {policy.PasswordBreached}, "Velvet kettle 11": {}, "Velvet kettle 12": {}} {
		_, checks, err := r.Prepare(t.Context(), s, &store.Agent{}, Who{}, pw, Reset)
		if err != nil || !slices.Equal(broken(checks), want) {
			t.Errorf("%q: %v, %v", pw, broken(checks), err)
		}
	}
	if len(asked) != 3 || !slices.Contains(asked, "/range/"+hash[:5]+" true") {
		t.Errorf("%v", asked)
	}
}

func TestAServiceThatDoesNotAnswerKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"a page": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>sign in to the Wi-Fi</html>") },
		"too much": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat(strings.Repeat("0", 35)+":1\n", 1<<16))
		},
		"silence": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(answer)
			t.Cleanup(server.Close)
			var said error
			r := newRules(t, func(o *RulesOptions) { o.BreachedURL, o.Failed = server.URL, func(err error) { said = err } })
			began := time.Now()
			_, checks, err := r.Prepare(t.Context(), acme(policy.PasswordGuide()), &store.Agent{}, Who{}, "Velvet kettle 10", Reset)
			if err != nil || len(broken(checks)) > 0 {
				t.Errorf("%v, %v", broken(checks), err)
			}
			if said == nil || strings.Contains(said.Error(), sha("Velvet kettle 10")[:5]) {
				t.Errorf("the fault: %v", said)
			}
			if took := time.Since(began); took > rangeTimeout+5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
