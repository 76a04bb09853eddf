package mfa

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"
	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/mfa/mfatest"
)

const origin = "https://id.acme.example"

// party is acme's; handle is ana's.
var (
	party  = Party{ID: "id.acme.example", Origin: origin, Name: "Acme"}
	handle = []byte("an opaque handle")
)

type change = func(*mfatest.Ceremony)

// register makes a passkey of k.
func register(t testing.TB, k *mfatest.Passkey, changes ...change) (Passkey, error) {
	t.Helper()
	challenge := NewChallenge()
	options, err := party.CreationOptions(challenge, Person{Handle: handle, Name: "ana@acme.example", DisplayName: "Ana"}, nil)
	must(t, err)
	answer, err := k.Create(options, origin, changes...)
	must(t, err)
	return finish(answer, challenge)
}

func finish(answer, challenge []byte) (Passkey, error) {
	read, err := ReadCreated(answer)
	if err != nil {
		return Passkey{}, err
	}
	return read.Check(party, challenge, handle)
}

// signIn uses k, as what is remembered says.
func signIn(t testing.TB, k *mfatest.Passkey, known Passkey, changes ...change) (Passkey, error) {
	t.Helper()
	challenge := NewChallenge()
	options, err := party.RequestOptions(challenge, nil)
	must(t, err)
	answer, err := k.Get(options, origin, changes...)
	must(t, err)
	read, err := ReadAsserted(answer)
	if err != nil {
		return Passkey{}, err
	}
	return read.Check(party, challenge, handle, known)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAPasskeyIsMadeAndUsed(t *testing.T) {
	t.Parallel()
	k := mfatest.New()
	k.Counter = 7
	k.Flags |= mfatest.BackupEligible
	made, err := register(t, k)
	must(t, err)
	if !bytes.Equal(made.ID, k.ID) || made.Counter != 7 || !made.Synced || made.BackedUp || !made.OnThisDevice || !cmp.Equal(made.Transports, []string{"internal"}) {
		t.Errorf("%+v", made)
	}
	k.Flags |= mfatest.BackedUp
	used, err := signIn(t, k, made)
	must(t, err)
	if used.Counter != 8 || !used.BackedUp {
		t.Errorf("%+v", used)
	}
}

// TestAuthenticatorsOfOthersAreUnderstood asks somebody else's idea of an
// authenticator, with keys of two kinds that sign their own attestation.
func TestAuthenticatorsOfOthersAreUnderstood(t *testing.T) {
	t.Parallel()
	rp := virtualwebauthn.RelyingParty{ID: party.ID, Name: party.Name, Origin: origin}
	for name, kind := range map[string]virtualwebauthn.KeyType{"ES256": virtualwebauthn.KeyTypeEC2, "RS256": virtualwebauthn.KeyTypeRSA} {
		credential := virtualwebauthn.NewCredential(kind)
		authenticator := virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: handle})
		challenge := NewChallenge()
		raw, err := party.CreationOptions(challenge, Person{Handle: handle, Name: "ana"}, nil)
		must(t, err)
		creation, err := virtualwebauthn.ParseAttestationOptions(string(raw))
		must(t, err)
		made, err := finish([]byte(virtualwebauthn.CreateAttestationResponse(rp, authenticator, credential, *creation)), challenge)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		challenge = NewChallenge()
		raw, err = party.RequestOptions(challenge, []Passkey{made})
		must(t, err)
		request, err := virtualwebauthn.ParseAssertionOptions(string(raw))
		must(t, err)
		if !credential.IsAllowedForAssertion(*request) || request.RelyingPartyID != party.ID {
			t.Errorf("%s: the options do not name it: %s", name, raw)
		}
		read, err := ReadAsserted([]byte(virtualwebauthn.CreateAssertionResponse(rp, authenticator, credential, *request)))
		must(t, err)
		if _, err := read.Check(party, challenge, handle, made); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheOptionsAskForWhatWeWant(t *testing.T) {
	t.Parallel()
	challenge := NewChallenge()
	raw, err := party.CreationOptions(challenge, Person{Handle: handle, Name: "ana@acme.example", DisplayName: "Ana"}, []Passkey{{ID: []byte("has"), Transports: []string{"usb"}}})
	must(t, err)
	var got map[string]map[string]any
	must(t, json.Unmarshal(raw, &got))
	encode := base64.RawURLEncoding.EncodeToString
	want := map[string]any{
		"rp":                     map[string]any{"id": "id.acme.example", "name": "Acme"},
		"user":                   map[string]any{"id": encode(handle), "name": "ana@acme.example", "displayName": "Ana"},
		"challenge":              encode(challenge),
		"pubKeyCredParams":       []any{map[string]any{"type": "public-key", "alg": -7.0}, map[string]any{"type": "public-key", "alg": -8.0}, map[string]any{"type": "public-key", "alg": -257.0}},
		"timeout":                300000.0,
		"excludeCredentials":     []any{map[string]any{"type": "public-key", "id": encode([]byte("has")), "transports": []any{"usb"}}},
		"authenticatorSelection": map[string]any{"residentKey": "preferred", "requireResidentKey": false, "userVerification": "required"},
		"attestation":            "none",
	}
	if diff := cmp.Diff(want, got["publicKey"]); diff != "" {
		t.Error(diff)
	}
	raw, err = party.RequestOptions(challenge, nil)
	must(t, err)
	got = nil
	must(t, json.Unmarshal(raw, &got))
	want = map[string]any{"challenge": encode(challenge), "timeout": 300000.0, "rpId": "id.acme.example", "userVerification": "required"}
	if diff := cmp.Diff(want, got["publicKey"]); diff != "" {
		t.Error(diff)
	}
}

func TestPasskeysBelongToAHostOverHTTPS(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]Party{
		"https://id.acme.example":           {ID: "id.acme.example", Origin: "https://id.acme.example"},
		"https://id.acme.example/acme":      {ID: "id.acme.example", Origin: "https://id.acme.example"},
		"https://id.acme.example:8443/acme": {ID: "id.acme.example", Origin: "https://id.acme.example:8443"},
		"http://localhost:8080":             {ID: "localhost", Origin: "http://localhost:8080"},
	} {
		if got, err := PartyOf(issuer, ""); err != nil || got != want {
			t.Errorf("%s: %+v, %v", issuer, got, err)
		}
	}
	for _, issuer := range []string{"http://id.acme.example", "https://192.0.2.1", "http://127.0.0.1:8080", "https://[::1]", "", "://", "https://"} {
		if got, err := PartyOf(issuer, ""); !errors.Is(err, ErrNoPasskeys) {
			t.Errorf("%s: %+v, %v", issuer, got, err)
		}
	}
}

// wrongOrigins are what a browser says at pages that are not ours.
var wrongOrigins = []string{
	"https://badid.acme.example", "https://evil.id.acme.example", "https://acme.example", "https://id.acme.example:8443", "https://id.acme.example:443",
	"http://id.acme.example", "https://ID.acme.example", "https://evil@id.acme.example", "https://id.acme.example/", "https://id.acme.example.evil.example",
	"null", "", "android:apk-key-hash:AAAA", "https://id.acme.example\x00", " https://id.acme.example",
}

func TestAnAnswerFromElsewhereIsRefused(t *testing.T) {
	t.Parallel()
	k := mfatest.New()
	known, err := register(t, k)
	must(t, err)
	for _, from := range wrongOrigins {
		at := func(c *mfatest.Ceremony) { c.Origin = from }
		if _, err := register(t, mfatest.New(), at); !errors.Is(err, ErrPasskey) {
			t.Errorf("made at %q: %v", from, err)
		}
		if _, err := signIn(t, k, known, at); !errors.Is(err, ErrPasskey) {
			t.Errorf("used at %q: %v", from, err)
		}
	}
}

func TestAnAnswerThatIsWrongInOneThingIsRefused(t *testing.T) {
	t.Parallel()
	other := mfatest.New()
	for name, wrong := range map[string]change{
		"in a frame of another site": func(c *mfatest.Ceremony) { c.CrossOrigin = true },
		"below another site":         func(c *mfatest.Ceremony) { c.TopOrigin = "https://evil.example" },
		"in a frame of our own":      func(c *mfatest.Ceremony) { c.CrossOrigin, c.TopOrigin = true, origin },
		"for another host":           func(c *mfatest.Ceremony) { c.RPID = "evil.example" },
		"for the parent domain":      func(c *mfatest.Ceremony) { c.RPID = "acme.example" },
		"user not present":           func(c *mfatest.Ceremony) { c.Flags &^= mfatest.UserPresent },
		"user not verified":          func(c *mfatest.Ceremony) { c.Flags &^= mfatest.UserVerified },
		"backed up, yet not able to": func(c *mfatest.Ceremony) { c.Flags |= mfatest.BackedUp },
		"another challenge":          func(c *mfatest.Ceremony) { c.Challenge = base64.RawURLEncoding.EncodeToString(NewChallenge()) },
		"no challenge":               func(c *mfatest.Ceremony) { c.Challenge = "" },
		"a short challenge":          func(c *mfatest.Ceremony) { c.Challenge = "AAAA" },
		"a padded challenge":         func(c *mfatest.Ceremony) { c.Challenge += "=" },
		"another type": func(c *mfatest.Ceremony) {
			c.Type = map[string]string{"webauthn.get": "webauthn.create", "webauthn.create": "webauthn.get"}[c.Type]
		},
		"type payment.get":           func(c *mfatest.Ceremony) { c.Type = "payment.get" },
		"another credential's id":    func(c *mfatest.Ceremony) { c.ID = other.ID; c.SignWith = other },
		"no id":                      func(c *mfatest.Ceremony) { c.ID = nil },
		"client data that is empty":  func(c *mfatest.Ceremony) { c.ClientData = []byte{} },
		"client data that is a list": func(c *mfatest.Ceremony) { c.ClientData = []byte("[]") },
		"a name twice": func(c *mfatest.Ceremony) {
			c.ClientData = []byte(`{"type":"` + c.Type + `","challenge":"` + c.Challenge + `","origin":"https://evil.example","origin":"` + origin + `","crossOrigin":false}`)
		},
		"a name in another case": func(c *mfatest.Ceremony) {
			c.ClientData = []byte(`{"type":"` + c.Type + `","challenge":"` + c.Challenge + `","origin":"https://evil.example","Origin":"` + origin + `","crossOrigin":false}`)
		},
		"authenticator data cut":      func(c *mfatest.Ceremony) { c.AuthData = make([]byte, 36) },
		"authenticator data too long": func(c *mfatest.Ceremony) { c.AuthData = make([]byte, 400) },
		"attested data without any":   func(c *mfatest.Ceremony) { c.AuthData = append(make([]byte, 32), 0xff, 0, 0, 0, 0) },
		"extension data without any":  func(c *mfatest.Ceremony) { c.AuthData = append(make([]byte, 32), 0x85, 0, 0, 0, 0) },
	} {
		k := mfatest.New()
		if name != "another credential's id" { // at its making any id is its own
			if _, err := register(t, k, wrong); !errors.Is(err, ErrPasskey) {
				t.Errorf("made %s: %v", name, err)
			}
		}
		known, err := register(t, k)
		must(t, err)
		if _, err := signIn(t, k, known, wrong); !errors.Is(err, ErrPasskey) {
			t.Errorf("used %s: %v", name, err)
		}
	}
}

func TestASignInByAnotherKeyOrForAnotherPersonIsRefused(t *testing.T) {
	t.Parallel()
	k, other := mfatest.New(), mfatest.New()
	known, err := register(t, k)
	must(t, err)
	if _, err := signIn(t, k, known, func(c *mfatest.Ceremony) { c.SignWith = other }); !errors.Is(err, ErrPasskey) {
		t.Errorf("signed with another key: %v", err)
	}
	if _, err := signIn(t, k, known, func(c *mfatest.Ceremony) { c.Handle = []byte("ben's handle") }); !errors.Is(err, ErrPasskey) {
		t.Errorf("with another's handle: %v", err)
	}
	if _, err := signIn(t, k, known, func(c *mfatest.Ceremony) { c.Handle = nil }); err != nil {
		t.Errorf("a key that keeps no handle: %v", err)
	}
	if _, err := signIn(t, k, known, func(c *mfatest.Ceremony) { c.Flags |= mfatest.BackupEligible }); !errors.Is(err, ErrPasskey) {
		t.Errorf("a key of one device that became one of several: %v", err)
	}
}

func TestACounterThatDoesNotGoUpIsRefused(t *testing.T) {
	t.Parallel()
	k := mfatest.New()
	k.Counter = 10
	known, err := register(t, k)
	must(t, err)
	for _, counter := range []uint32{0, 1, 9, 10} {
		if _, err := signIn(t, k, known, func(c *mfatest.Ceremony) { c.Counter = counter }); !errors.Is(err, ErrCounter) {
			t.Errorf("from 10 to %d: %v", counter, err)
		}
	}
	if now, err := signIn(t, k, known, func(c *mfatest.Ceremony) { c.Counter = 11 }); err != nil || now.Counter != 11 {
		t.Errorf("from 10 to 11: %v", err)
	}
	still := mfatest.New()
	if known, err = register(t, still); err != nil {
		t.Fatal(err)
	}
	if _, err := signIn(t, still, known); err != nil {
		t.Errorf("a passkey without a counter: %v", err)
	}
}

func TestAnAttestationByOthersIsRefused(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"tpm", "android-key", "android-safetynet", "fido-u2f", "apple", "compound", "packed", "", "unknown"} {
		statement := []byte{0xa1, 0x63, 'x', '5', 'c', 0x81, 0x41, 0x00} // {"x5c": [h'00']}
		if _, err := register(t, mfatest.New(), func(c *mfatest.Ceremony) { c.Format, c.Statement = format, statement }); !errors.Is(err, ErrPasskey) {
			t.Errorf("%q: %v", format, err)
		}
	}
}

// bombs are CBOR that promises more than it has.
func bombs() map[string][]byte {
	return map[string][]byte{
		"a huge array":    {0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a huge map":      {0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a huge string":   {0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"great depth":     bytes.Repeat([]byte{0x81}, 8000),
		"depth in maps":   bytes.Repeat([]byte{0xa1, 0x00}, 4000),
		"endless":         bytes.Repeat([]byte{0x9f}, 4000),
		"tags":            bytes.Repeat([]byte{0xc1}, 8000),
		"nothing":         {},
		"half a map":      {0xa1},
		"a map of itself": {0xa1, 0xa0, 0xa0},
	}
}

func TestCBORBombsAreRefused(t *testing.T) {
	t.Parallel()
	for name, bomb := range bombs() {
		if _, err := register(t, mfatest.New(), func(c *mfatest.Ceremony) { c.Statement = bomb }); !errors.Is(err, ErrPasskey) {
			t.Errorf("%s as the attestation: %v", name, err)
		}
		k := mfatest.New()
		key := func(c *mfatest.Ceremony) {
			c.AuthData = append(append(append(make([]byte, 32), 0x45, 0, 0, 0, 0), make([]byte, 16)...), append([]byte{0, 1, 'x'}, bomb...)...)
		}
		if _, err := register(t, k, key); !errors.Is(err, ErrPasskey) {
			t.Errorf("%s as the key: %v", name, err)
		}
		known, err := register(t, k)
		must(t, err)
		known.PublicKey = bomb
		if _, err := signIn(t, k, known); !errors.Is(err, ErrPasskey) {
			t.Errorf("%s as the key that is kept: %v", name, err)
		}
		data := func(c *mfatest.Ceremony) { c.AuthData = append(append(make([]byte, 32), 0x85, 0, 0, 0, 0), bomb...) }
		if _, err := signIn(t, k, known, data); !errors.Is(err, ErrPasskey) {
			t.Errorf("%s as extensions: %v", name, err)
		}
	}
}

func TestWhatIsNoAnswerIsRefused(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"nothing": "", "no object": "null", "a list": "[]", "a number": "1", "cut": `{"id":`, "two": "{}{}", "empty": "{}", "deep": strings.Repeat(`{"a":`, 5000),
		"a name twice": `{"id":"AAAA","ID":"AAAA"}`, "large": `{"id":"` + strings.Repeat("A", MaxAnswer) + `"}`, "many": "[" + strings.Repeat("1,", 5000) + "1]",
		"without a response": `{"id":"AAAA","rawId":"AAAA","type":"public-key"}`, "empty response": `{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{}}`,
		"null response": `{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":null,"attestationObject":null,"authenticatorData":null,"signature":null}}`,
	} {
		if _, err := ReadCreated([]byte(answer)); !errors.Is(err, ErrPasskey) {
			t.Errorf("%s, made: %v", name, err)
		}
		if _, err := ReadAsserted([]byte(answer)); !errors.Is(err, ErrPasskey) {
			t.Errorf("%s, used: %v", name, err)
		}
	}
	if _, err := (Created{}).Check(party, NewChallenge(), handle); !errors.Is(err, ErrPasskey) {
		t.Error(err)
	}
	if _, err := (Asserted{}).Check(party, NewChallenge(), handle, Passkey{}); !errors.Is(err, ErrPasskey) {
		t.Error(err)
	}
}

func FuzzCreated(f *testing.F) {
	k := mfatest.New()
	challenge := bytes.Repeat([]byte{1}, ChallengeSize)
	options, err := party.CreationOptions(challenge, Person{Handle: handle, Name: "ana"}, nil)
	must(f, err)
	answer, err := k.Create(options, origin)
	must(f, err)
	var parts struct {
		Response struct {
			Object         string `json:"attestationObject"`
			ClientDataJSON string `json:"clientDataJSON"`
		} `json:"response"`
	}
	must(f, json.Unmarshal(answer, &parts))
	object, err := base64.RawURLEncoding.DecodeString(parts.Response.Object)
	must(f, err)
	f.Add(object)
	for _, bomb := range bombs() {
		f.Add(bomb)
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		changed := bytes.Replace(answer, []byte(parts.Response.Object), []byte(base64.RawURLEncoding.EncodeToString(object)), 1)
		made, err := finish(changed, challenge)
		if err != nil && !errors.Is(err, ErrPasskey) || err != nil && strings.Contains(err.Error(), "panicked") {
			t.Fatal(err)
		}
		if err == nil && !bytes.Equal(made.ID, k.ID) {
			t.Fatal("another id than the browser said")
		}
	})
}

func BenchmarkPasskey(b *testing.B) {
	k := mfatest.New()
	known, err := register(b, k)
	must(b, err)
	challenge := NewChallenge()
	options, err := party.RequestOptions(challenge, nil)
	must(b, err)
	answer, err := k.Get(options, origin)
	must(b, err)
	for b.Loop() {
		read, err := ReadAsserted(answer)
		must(b, err)
		if _, err := read.Check(party, challenge, handle, known); err != nil {
			b.Fatal(err)
		}
	}
}
