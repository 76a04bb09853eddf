package saml

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	algGCM128 = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	algGCM256 = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	algCBC128 = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
	algCBC256 = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
)

// encryption is how one EncryptedAssertion is made. The zero value is the usual way.
type encryption struct {
	to          *rsa.PublicKey
	cipher      string
	transport   string
	digest, mgf string
	hash, mask  crypto.Hash
	beside      bool // the EncryptedKey beside the EncryptedData
	harm        func(key, data []byte) (k, d []byte)
}

func (how encryption) wrap(t testing.TB, assertion string) string {
	t.Helper()
	if how.to == nil {
		how.to = &spSigner().Key.(*rsa.PrivateKey).PublicKey
	}
	if how.cipher == "" {
		how.cipher = algGCM256
	}
	if how.transport == "" {
		how.transport, how.hash, how.mask = algOAEP, crypto.SHA1, crypto.SHA1
	}
	secret := make([]byte, ciphers[how.cipher].size)
	rand.Read(secret)
	key, err := rsa.EncryptOAEPWithOptions(rand.Reader, how.to, secret, &rsa.OAEPOptions{Hash: how.hash, MGFHash: how.mask})
	if err != nil {
		t.Fatal(err)
	}
	data := seal(t, how.cipher, secret, []byte(assertion))
	if how.harm != nil {
		key, data = how.harm(key, data)
	}
	method := `<xenc:EncryptionMethod Algorithm="` + how.transport + `">`
	if how.digest != "" {
		method += `<ds:DigestMethod xmlns:ds="` + nsSignature + `" Algorithm="` + how.digest + `"/>`
	}
	if how.mgf != "" {
		method += `<xenc11:MGF xmlns:xenc11="` + nsEnc11 + `" Algorithm="` + how.mgf + `"/>`
	}
	value := func(b []byte) string {
		return `<xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(b) + `</xenc:CipherValue></xenc:CipherData>`
	}
	box := `<xenc:EncryptedKey xmlns:xenc="` + nsEncryption + `">` + method + `</xenc:EncryptionMethod>` + value(key) + `</xenc:EncryptedKey>`
	inside, beside := `<ds:KeyInfo xmlns:ds="`+nsSignature+`">`+box+`</ds:KeyInfo>`, ""
	if how.beside {
		inside, beside = "", box
	}
	return `<saml:EncryptedAssertion xmlns:saml="` + nsAssertion + `"><xenc:EncryptedData xmlns:xenc="` + nsEncryption + `" Type="http://www.w3.org/2001/04/xmlenc#Element">` +
		`<xenc:EncryptionMethod Algorithm="` + how.cipher + `"/>` + inside + value(data) + `</xenc:EncryptedData>` + beside + `</saml:EncryptedAssertion>`
}

func seal(t testing.TB, algorithm string, secret, plaintext []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	if ciphers[algorithm].sealed {
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		nonce := make([]byte, gcm.NonceSize())
		rand.Read(nonce)
		return gcm.Seal(nonce, nonce, plaintext, nil)
	}
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv)
	padding := aes.BlockSize - len(plaintext)%aes.BlockSize
	plaintext = append(slices.Clone(plaintext), make([]byte, padding)...)
	plaintext[len(plaintext)-1] = byte(padding)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(plaintext, plaintext)
	return append(iv, plaintext...)
}

func signedAlone(t testing.TB) string { return signID(t, plainAssertion, "_assertion1", signing{}) }

func TestEncryptedAssertionsAreRead(t *testing.T) {
	t.Parallel()
	sha256, sha512 := "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmlenc#sha512"
	for name, how := range map[string]encryption{
		"AES-256-GCM":                 {},
		"AES-192-GCM":                 {cipher: "http://www.w3.org/2009/xmlenc11#aes192-gcm"},
		"AES-128-GCM":                 {cipher: algGCM128},
		"the key beside":              {beside: true},
		"OAEP with SHA-256":           {transport: algOAEP, digest: sha256, hash: crypto.SHA256, mask: crypto.SHA1},
		"OAEP 1.1 with nothing said":  {transport: algOAEP11, hash: crypto.SHA1, mask: crypto.SHA1},
		"OAEP 1.1 with SHA-256":       {transport: algOAEP11, digest: sha256, mgf: nsEnc11 + "mgf1sha256", hash: crypto.SHA256, mask: crypto.SHA256},
		"OAEP 1.1 with different two": {transport: algOAEP11, digest: sha512, mgf: nsEnc11 + "mgf1sha1", hash: crypto.SHA512, mask: crypto.SHA1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := mustVerify(t, inResponse(how.wrap(t, signedAlone(t))), testExpect()); got.NameID.Value != "alice@idp.example" {
				t.Error(got.NameID)
			}
		})
	}
}

func TestAnAssertionInClearIsRefusedWhereItMustBeEncrypted(t *testing.T) {
	t.Parallel()
	expect := testExpect()
	expect.Encrypted = true
	for name, signed := range signedWays {
		t.Run(name, func(t *testing.T) { mustRefuse(t, signed(t, plainAssertion), expect, CheckDecryption) })
	}
	mustVerify(t, inResponse(encryption{}.wrap(t, signedAlone(t))), expect)
}

func TestCBCIsOnlyReadBelowASignedResponse(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{algCBC128, algCBC256} {
		for _, inner := range []string{signedAlone(t), plainAssertion} {
			document := inResponse(encryption{cipher: algorithm}.wrap(t, inner))
			mustRefuse(t, document, testExpect(), CheckAlgorithm)
			mustVerify(t, signID(t, document, "_response1", signing{}), testExpect())
			mustRefuse(t, signID(t, document, "_response1", signing{signer: otherSigner()}), testExpect(), CheckSignature)
		}
	}
}

func TestAnEncryptedAssertionMustBeSignedBySomebody(t *testing.T) {
	t.Parallel()
	unsigned := inResponse(encryption{}.wrap(t, plainAssertion))
	mustRefuse(t, unsigned, testExpect(), CheckDecryption)
	mustVerify(t, signID(t, unsigned, "_response1", signing{}), testExpect())
	other := inResponse(encryption{}.wrap(t, signID(t, plainAssertion, "_assertion1", signing{signer: otherSigner()})))
	mustRefuse(t, other, testExpect(), CheckDecryption)
	mustRefuse(t, signID(t, other, "_response1", signing{}), testExpect(), CheckDecryption)
}

func TestEveryFaultOfDecryptionIsTheSame(t *testing.T) {
	t.Parallel()
	flip := func(b []byte, at int) []byte {
		b = slices.Clone(b)
		b[(at+len(b))%len(b)] ^= 1
		return b
	}
	faults := map[string]string{
		"another's key": inResponse(encryption{to: &otherSigner().Key.(*rsa.PrivateKey).PublicKey}.wrap(t, signedAlone(t))),
		"a damaged key": inResponse(encryption{harm: func(k, d []byte) ([]byte, []byte) { return flip(k, 40), d }}.wrap(t, signedAlone(t))),
		"a short key":   inResponse(encryption{harm: func(k, d []byte) ([]byte, []byte) { return k[:100], d }}.wrap(t, signedAlone(t))),
		"no key":        inResponse(encryption{harm: func(_, d []byte) ([]byte, []byte) { return nil, d }}.wrap(t, signedAlone(t))),
		"a key of another size": inResponse(encryption{harm: func(_, d []byte) ([]byte, []byte) {
			k, _ := rsa.EncryptOAEPWithOptions(rand.Reader, &spSigner().Key.(*rsa.PrivateKey).PublicKey, make([]byte, 7), &rsa.OAEPOptions{Hash: crypto.SHA1})
			return k, d
		}}.wrap(t, signedAlone(t))),
		"damage":              inResponse(encryption{harm: func(k, d []byte) ([]byte, []byte) { return k, flip(d, 200) }}.wrap(t, signedAlone(t))),
		"a damaged seal":      inResponse(encryption{harm: func(k, d []byte) ([]byte, []byte) { return k, flip(d, -1) }}.wrap(t, signedAlone(t))),
		"short":               inResponse(encryption{harm: func(k, d []byte) ([]byte, []byte) { return k, d[:5] }}.wrap(t, signedAlone(t))),
		"nothing":             inResponse(encryption{harm: func(k, _ []byte) ([]byte, []byte) { return k, nil }}.wrap(t, signedAlone(t))),
		"bad XML":             inResponse(encryption{}.wrap(t, "<a>")),
		"no XML":              inResponse(encryption{}.wrap(t, "\x00\x01")),
		"a DOCTYPE":           inResponse(encryption{}.wrap(t, "<!DOCTYPE x>"+signedAlone(t))),
		"a comment":           inResponse(encryption{}.wrap(t, strings.Replace(signedAlone(t), "alice", "al<!-- -->ice", 1))),
		"another element":     inResponse(encryption{}.wrap(t, "<a/>")),
		"a Response":          inResponse(encryption{}.wrap(t, signedAssertion(t, plainAssertion))),
		"two":                 inResponse(encryption{}.wrap(t, signedAlone(t)+signedAlone(t))),
		"a box in the box":    inResponse(encryption{}.wrap(t, encryption{}.wrap(t, signedAlone(t)))),
		"no signature":        inResponse(encryption{}.wrap(t, plainAssertion)),
		"a bad signature":     inResponse(encryption{}.wrap(t, strings.Replace(signedAlone(t), "alice", "mallo", 1))),
		"another's signature": inResponse(encryption{}.wrap(t, signID(t, plainAssertion, "_assertion1", signing{signer: otherSigner()}))),
		"SHA-1":               inResponse(encryption{}.wrap(t, signID(t, plainAssertion, "_assertion1", signing{method: "http://www.w3.org/2000/09/xmldsig#rsa-sha1"}))),
		"an ID of outside":    inResponse(encryption{}.wrap(t, strings.ReplaceAll(signedAlone(t), "_assertion1", "_response1"))),
	}
	var first *Refused
	var firstList []Check
	for name, document := range faults {
		_, list, err := Verify([]byte(document), testExpect())
		var refused *Refused
		if !errors.As(err, &refused) || refused.Name != CheckDecryption {
			t.Fatalf("%s: %v %+v", name, err, refused)
		}
		list = slices.DeleteFunc(list, func(check Check) bool { return check.Name == CheckXML && check.OK }) // tells its own length
		if first == nil {
			first, firstList = refused, list
		}
		if diff := cmp.Diff(first, refused) + cmp.Diff(firstList, list); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestOtherWaysToEncryptAreRefusedBeforeAKeyIsUsed(t *testing.T) {
	t.Parallel()
	good := inResponse(encryption{}.wrap(t, signedAlone(t)))
	key := between(good, "<xenc:EncryptedKey ", "</xenc:EncryptedKey>")
	for name, document := range map[string]string{
		"PKCS #1 v1.5":       strings.Replace(good, algOAEP, "http://www.w3.org/2001/04/xmlenc#rsa-1_5", 1),
		"triple DES":         strings.Replace(good, algGCM256, "http://www.w3.org/2001/04/xmlenc#tripledes-cbc", 1),
		"another digest":     strings.Replace(good, algOAEP+`">`, algOAEP+`"><ds:DigestMethod xmlns:ds="`+nsSignature+`" Algorithm="urn:md5"/>`, 1),
		"another mask":       strings.Replace(good, algOAEP+`">`, algOAEP11+`"><x:MGF xmlns:x="`+nsEnc11+`" Algorithm="urn:x"/>`, 1),
		"OAEP parameters":    strings.Replace(good, algOAEP+`">`, algOAEP+`"><xenc:OAEPparams>AAAA</xenc:OAEPparams>`, 1),
		"no key":             strings.Replace(good, key, "", 1),
		"many keys":          strings.Replace(good, key, strings.Repeat(key, 100), 1),
		"no data":            strings.Replace(good, between(good, "<xenc:EncryptedData ", "</xenc:EncryptedData>"), "", 1),
		"a reference":        strings.Replace(good, between(good, "<xenc:CipherValue>", "</xenc:CipherValue>"), `<xenc:CipherReference URI="https://evil.example/"/>`, 2),
		"no method":          strings.Replace(good, `<xenc:EncryptionMethod Algorithm="`+algGCM256+`"/>`, "", 1),
		"words, not base64":  strings.Replace(good, "<xenc:CipherValue>", "<xenc:CipherValue>!", 1),
		"two boxes":          strings.Replace(good, "</samlp:Response>", encryption{}.wrap(t, signedAlone(t))+"</samlp:Response>", 1),
		"a box and one open": strings.Replace(good, "</samlp:Response>", signedAlone(t)+"</samlp:Response>", 1),
		"one open and a box": strings.Replace(good, "<saml:EncryptedAssertion", signedAlone(t)+"<saml:EncryptedAssertion", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if document == good {
				t.Fatal("nothing was changed")
			}
			mustRefuse(t, document, testExpect(), CheckShape, CheckAlgorithm)
		})
	}
	expect := testExpect()
	expect.DecryptionKeys = nil
	mustRefuse(t, good, expect, CheckDecryption)
}

func TestAKeyOfBeforeTheRolloverStillOpens(t *testing.T) {
	t.Parallel()
	expect := testExpect()
	expect.DecryptionKeys = []*rsa.PrivateKey{otherSigner().Key.(*rsa.PrivateKey), spSigner().Key.(*rsa.PrivateKey)}
	mustVerify(t, inResponse(encryption{}.wrap(t, signedAlone(t))), expect)
}

func TestAPlaintextMayRestOnNamespacesAroundIt(t *testing.T) {
	t.Parallel()
	// As a writer does that encrypts a node in its place, and declares nothing again.
	bare := strings.Replace(signedAlone(t), ` xmlns:saml="`+nsAssertion+`"`, "", 1)
	mustVerify(t, inResponse(encryption{}.wrap(t, bare)), testExpect())
}

// TestFaultsOfDecryptionTakeTheSameTime is not parallel: it measures. The bounds are wide,
// since machines are busy; what must not happen is that one fault answers at once.
func TestFaultsOfDecryptionTakeTheSameTime(t *testing.T) {
	documents := map[string]string{
		"another's key":    inResponse(encryption{to: &otherSigner().Key.(*rsa.PrivateKey).PublicKey}.wrap(t, signedAlone(t))),
		"damage":           inResponse(encryption{harm: func(k, d []byte) ([]byte, []byte) { d[200] ^= 1; return k, d }}.wrap(t, signedAlone(t))),
		"a number too big": inResponse(encryption{harm: func(k, d []byte) ([]byte, []byte) { return bytes.Repeat([]byte{255}, len(k)), d }}.wrap(t, signedAlone(t))),
		"a short key":      inResponse(encryption{harm: func(k, d []byte) ([]byte, []byte) { return k[:100], d }}.wrap(t, signedAlone(t))),
		"a bad signature":  inResponse(encryption{}.wrap(t, signID(t, plainAssertion, "_assertion1", signing{signer: otherSigner()}))),
	}
	best := map[string]time.Duration{}
	for range 60 {
		for name, document := range documents {
			begin := time.Now()
			mustRefuse(t, document, testExpect(), CheckDecryption)
			if took := time.Since(begin); best[name] == 0 || took < best[name] {
				best[name] = took
			}
		}
	}
	for name, took := range best {
		if other := best["a bad signature"]; took < other*2/3 || took > other*3/2 {
			t.Errorf("%s takes %v, a bad signature %v", name, took, other)
		}
	}
	t.Log(best)
}
