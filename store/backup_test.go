package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

func openBolt(t *testing.T, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newStore(t *testing.T) *bolt.Store { return openBolt(t, filepath.Join(t.TempDir(), "db")) }

func newSealer(t *testing.T) *store.Sealer {
	t.Helper()
	s, err := store.OpenMasterKey(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func update(t *testing.T, s store.Store, site string, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), site, fn); err != nil {
		t.Fatal(err)
	}
}

// furnish fills a site with an agent, a client and everything that a restore
// must not bring back.
func furnish(t *testing.T, s store.Store, site string) {
	t.Helper()
	later := time.Now().Add(time.Hour)
	update(t, s, store.House, func(tx store.Tx) error { return store.Sites.Put(tx, &store.Site{Path: site, ID: "id " + site}) })
	update(t, s, site, func(tx store.Tx) error {
		_, err := store.Next(tx, store.SiteVersion)
		return errors.Join(err,
			store.Agents.Put(tx, &store.Agent{ID: "ana", Email: "ana@acme.example"}),
			store.Clients.Put(tx, &store.Client{ID: "desk"}),
			store.Sessions.Put(tx, &store.Session{Hash: "h", SID: "s", AgentID: "ana", Expires: later}),
			store.Grants.Put(tx, &store.Grant{ID: "g", Authorization: store.Authorization{AgentID: "ana", ClientID: "desk", SID: "s"}, Expires: later}),
			store.OpaqueTokens.Put(tx, &store.OpaqueToken{Hash: "o", GrantID: "g", Expires: later}),
			store.SignIns.Put(tx, &store.SignIn{ID: "i", Expires: later}),
			store.SetUps.Put(tx, &store.SetUp{Expires: later}),
			store.Authenticators.Put(tx, &store.Authenticator{ID: "phone", AgentID: "ana", Type: store.FactorTOTP, LastStep: 7}),
			store.RecoveryCodes.Put(tx, &store.RecoverySet{AgentID: "ana", Hashes: [][]byte{make([]byte, 32)}}),
			store.PasswordLinks.Put(tx, &store.PasswordLink{AgentID: "ana", Hash: "l", Expires: later}),
			store.Outbox.Put(tx, &store.OutboxMail{ID: "m", Address: "a", Expires: later}),
			store.AllSpent.Put(tx, &store.Spent{Key: "jti:x", Expires: later}),
			store.AppendRevocation(tx, &store.Revocation{SID: "old", Expires: later}))
	})
}

func backup(t *testing.T, s store.Engine, sealer *store.Sealer) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := store.Backup(t.Context(), s, sealer, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestARestoreRevivesNothingThatMayHaveEndedSince(t *testing.T) {
	t.Parallel()
	s, sealer := newStore(t), newSealer(t)
	furnish(t, s, "")
	furnish(t, s, "acme")
	saved := backup(t, s, sealer)
	if bytes.Contains(saved, []byte("ana@acme")) {
		t.Error("the backup can be read without its key")
	}
	now := time.Now().UTC()
	restored := newStore(t)
	if _, err := store.Restore(t.Context(), restored, sealer, bytes.NewReader(saved), now); err != nil {
		t.Fatal(err)
	}
	for _, site := range []string{"", "acme"} {
		if err := restored.View(t.Context(), site, func(tx store.Tx) error {
			agent, err := store.Agents.Find(tx, "email", "ana@acme.example")
			if err != nil || !agent.NotBefore.Equal(now) {
				t.Errorf("agent %+v, %v", agent, err)
			}
			client, err := store.Clients.Get(tx, "desk")
			if err != nil || !client.NotBefore.Equal(now) {
				t.Errorf("client %+v, %v", client, err)
			}
			phone, err := store.Authenticators.Get(tx, "phone")
			if err != nil || phone.LastStep != now.Unix()/30+1 {
				t.Errorf("a code of before the restore counts again: %+v, %v", phone, err)
			}
			if has, err := store.AllSpent.Has(tx, "jti:x"); err != nil || !has {
				t.Errorf("what was spent came back as fresh: %v", err)
			}
			epoch, err := store.Restorations.Get(tx, store.RestorationKey)
			if err != nil || epoch.Epoch != 1 || !epoch.At.Equal(now) {
				t.Errorf("%+v, %v", epoch, err)
			}
			var feed []store.Revocation
			for r, err := range store.Revocations.All(tx, "") {
				if err != nil {
					return err
				}
				feed = append(feed, r)
			}
			if len(feed) != 2 || !feed[1].All || feed[1].Sequence < 1<<32 {
				t.Errorf("feed %+v", feed)
			}
			for _, kind := range []store.Kind{"session", "session/sid", "grant", "grant/agent", "opaque-token", "opaque-token/grant", "sign-in", "set-up", "recovery-codes", "password-link", "password-link/hash", "outbox"} {
				for item, err := range tx.Scan(kind, nil, nil) {
					t.Errorf("%s %q came back, %v", kind, item.Key, err)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Restore(t.Context(), restored, sealer, bytes.NewReader(saved), now); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("a second restore: %v", err)
	}
	if err := restored.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestABackupThatIsNotWholeAndOursIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	s, sealer := newStore(t), newSealer(t)
	furnish(t, s, "")
	update(t, s, "", func(tx store.Tx) error {
		return tx.Put("thing", []byte("long"), bytes.Repeat([]byte("long "), 60_000), time.Time{})
	})
	saved := backup(t, s, sealer)
	target := newStore(t)
	r := rand.New(rand.NewPCG(7, 8))
	try := func(how string, harmed []byte, sealer *store.Sealer) {
		t.Helper()
		if _, err := store.Restore(t.Context(), target, sealer, bytes.NewReader(harmed), time.Now()); !errors.Is(err, store.ErrBackup) {
			t.Errorf("%s: %v", how, err)
		}
	}
	for i := range 150 {
		harmed := bytes.Clone(saved)
		at := r.IntN(len(harmed))
		harmed[at] ^= 1 << r.IntN(8)
		try(fmt.Sprintf("byte %d of %d, trial %d", at, len(saved), i), harmed, sealer)
		try("cut short", saved[:r.IntN(len(saved))], sealer)
	}
	const head, chunk = 56, 4 + 64<<10 + 16
	swapped := bytes.Clone(saved)
	copy(swapped[head:], saved[head+chunk:head+2*chunk])
	copy(swapped[head+chunk:], saved[head:head+chunk])
	try("chunks swapped", swapped, sealer)
	try("whole chunks left off", saved[:head+2*chunk], sealer)
	try("something added", append(bytes.Clone(saved), 0), sealer)
	try("empty", nil, sealer)
	try("another key", saved, newSealer(t))
	if _, err := store.Restore(t.Context(), target, sealer, bytes.NewReader(saved), time.Now()); err != nil {
		t.Errorf("the target is not empty any more: %v", err)
	}
}

func TestAHalfDoneRestoreIsNotServed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	s := openBolt(t, path)
	if err := s.Load(t.Context(), []store.Record{{Site: store.House, Kind: store.RestoreKind, Key: []byte(store.RestoreKey)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(bolt.Options{Path: path}); !errors.Is(err, store.ErrHalfRestored) {
		t.Fatal(err)
	}
}

func TestBackupsUnderLoadAreConsistent(t *testing.T) {
	t.Parallel()
	s, sealer := newStore(t), newSealer(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // two records that are always equal
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			v := []byte(fmt.Sprint(i))
			if err := s.Update(t.Context(), "", func(tx store.Tx) error {
				return errors.Join(tx.Put("a", []byte("x"), v, time.Time{}), tx.Put("z", []byte("x"), v, time.Time{}))
			}); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 10 {
		time.Sleep(5 * time.Millisecond)
		target := newStore(t)
		if _, err := store.Restore(t.Context(), target, sealer, bytes.NewReader(backup(t, s, sealer)), time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := target.View(t.Context(), "", func(tx store.Tx) error {
			a, errA := tx.Get("a", []byte("x"))
			z, errZ := tx.Get("z", []byte("x"))
			if !bytes.Equal(a, z) {
				t.Errorf("%s and %s", a, z)
			}
			return errors.Join(errA, errZ)
		}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-stopped
}

func TestTheMasterKeyFileIsMadeOnceAndKeptPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "master.key")
	first, err := store.OpenMasterKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	again, err := store.OpenMasterKey(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed, _ := first.Seal("", "k", "1", []byte("secret"))
	if plain, err := again.Open("", "k", "1", sealed); err != nil || string(plain) != "secret" {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenMasterKey(path); !errors.Is(err, store.ErrKeyFile) {
		t.Errorf("readable by others: %v", err)
	}
	for name, text := range map[string]string{"empty": "", "short": "AAAA\n", "zeros": strings.Repeat("A", 43) + "=\n", "words": "change me\n"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.OpenMasterKey(path); !errors.Is(err, store.ErrKeyFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestANewMasterKeyTakesOverAndTheOldOneCanGo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "master.key")
	s, now := newStore(t), time.Now()
	sealer, err := store.OpenMasterKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.CheckMasterKey(t.Context(), s, sealer, now); err != nil {
		t.Fatal(err)
	}
	for i := range 250 {
		update(t, s, "acme", func(tx store.Tx) error {
			kid := fmt.Sprint("key", i)
			private, err := sealer.Seal("acme", store.SigningKeys.Kind, kid, []byte(kid))
			return errors.Join(err, store.SigningKeys.Put(tx, &store.SigningKey{KID: kid, Private: private}))
		})
	}
	if err := store.CheckMasterKey(t.Context(), s, newSealer(t), now); !errors.Is(err, store.ErrMasterKey) {
		t.Errorf("another key: %v", err)
	}
	if err := store.AddMasterKey(path); err != nil {
		t.Fatal(err)
	}
	if sealer, err = store.OpenMasterKey(path); err != nil {
		t.Fatal(err)
	}
	for site, want := range map[string]int{store.House: 1, "acme": 250} {
		if n, err := store.Reseal(t.Context(), s, sealer, site); err != nil || n != want {
			t.Errorf("resealed %d of %q, %v", n, site, err)
		}
	}
	if err := store.RemoveOldMasterKeys(path); err != nil {
		t.Fatal(err)
	}
	if sealer, err = store.OpenMasterKey(path); err != nil {
		t.Fatal(err)
	}
	if err := store.CheckMasterKey(t.Context(), s, sealer, now); err != nil {
		t.Error(err)
	}
	if err := s.View(t.Context(), "acme", func(tx store.Tx) error {
		for k, err := range store.SigningKeys.All(tx, "") {
			if err != nil {
				return err
			}
			if plain, err := sealer.Open("acme", store.SigningKeys.Kind, k.KID, k.Private); err != nil || string(plain) != k.KID {
				t.Errorf("%s: %q, %v", k.KID, plain, err)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
