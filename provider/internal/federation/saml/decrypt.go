package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // OAEP's default digest, where nothing rests on collisions
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// ciphers are the ones accepted. CBC can be altered without the key, and so is
// accepted only below a Response's signature that holds.
var ciphers = map[string]struct {
	size   int
	sealed bool
}{
	"http://www.w3.org/2009/xmlenc11#aes128-gcm":  {16, true},
	"http://www.w3.org/2009/xmlenc11#aes192-gcm":  {24, true},
	"http://www.w3.org/2009/xmlenc11#aes256-gcm":  {32, true},
	"http://www.w3.org/2001/04/xmlenc#aes128-cbc": {16, false},
	"http://www.w3.org/2001/04/xmlenc#aes192-cbc": {24, false},
	"http://www.w3.org/2001/04/xmlenc#aes256-cbc": {32, false},
}

const (
	algOAEP   = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	algOAEP11 = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
	nsEnc11   = "http://www.w3.org/2009/xmlenc11#"

	maxDecryptions = 2 // operations with a private key, by one message
)

var oaepDigests = map[string]crypto.Hash{
	"":                                       crypto.SHA1,
	"http://www.w3.org/2000/09/xmldsig#sha1": crypto.SHA1,
	"http://www.w3.org/2001/04/xmlenc#sha256":       crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
	"http://www.w3.org/2001/04/xmlenc#sha512":       crypto.SHA512,
}

var oaepMasks = map[string]crypto.Hash{
	"":                     crypto.SHA1,
	nsEnc11 + "mgf1sha1":   crypto.SHA1,
	nsEnc11 + "mgf1sha256": crypto.SHA256,
	nsEnc11 + "mgf1sha384": crypto.SHA384,
	nsEnc11 + "mgf1sha512": crypto.SHA512,
}

// What a trace says of an encrypted assertion, whatever was wrong with it.
const (
	wantDecrypted = "an assertion encrypted to our certificate, and in it one signed by a pinned certificate"
	gotDecrypted  = "something else: another key, damage, other words, or no signature that holds"
)

var errDecryption = errors.New("decryption")

// decrypted finds the assertion inside an EncryptedAssertion. All faults are one, from
// a wrong key to a bad signature of the plaintext: the certificate is public, so that
// anybody can have any bytes decrypted, and must learn nothing about others'.
func (c *checks) decrypted(encrypted *etree.Element, in received, expect Expect) (*etree.Element, *x509.Certificate, error) {
	covered := encrypted
	if in.verified != nil {
		covered, _ = atMostOne(in.verified, nsAssertion, "EncryptedAssertion")
	}
	box, err := openBox(covered)
	if err != nil { // public: it can be seen without a key
		return nil, nil, c.refuse(CheckShape, "an EncryptedAssertion of the usual form", err.Error())
	}
	method, known := ciphers[box.cipher]
	allowed := known && (method.sealed || in.verified != nil)
	if !c.add(CheckAlgorithm, allowed, "AES-GCM; AES-CBC only in a signed Response", box.cipher) {
		return nil, nil, c.err()
	}
	if len(expect.DecryptionKeys) == 0 {
		return nil, nil, c.refuse(CheckDecryption, wantDecrypted, "there is no key to decrypt with")
	}
	inner := &checks{}
	el, signer, err := inner.inside(box, encrypted, in, expect)
	if err != nil {
		return nil, nil, c.refuse(CheckDecryption, wantDecrypted, gotDecrypted)
	}
	c.add(CheckDecryption, true, wantDecrypted, box.cipher)
	c.list = append(c.list, inner.list...)
	return el, signer, nil
}

// inside decrypts and finds the assertion that is signed, or that the Response's
// signature covers.
func (c *checks) inside(box box, encrypted *etree.Element, in received, expect Expect) (*etree.Element, *x509.Certificate, error) {
	plaintext, err := box.open(expect.DecryptionKeys)
	if err != nil {
		c.decoy(expect)
		return nil, nil, err
	}
	el, found, err := open(plaintext, messageLimits)
	if err != nil {
		return nil, nil, err
	}
	for id := range found.ids {
		if in.ids[id] {
			return nil, nil, errDecryption
		}
	}
	inherit(el, encrypted) // writers may leave out what is declared around it
	if !is(el, nsAssertion, "Assertion") || versionAndID(el) != nil || found.names["Assertion"] != 1 || found.names["EncryptedAssertion"] != 0 {
		return nil, nil, errDecryption
	}
	if err := signaturesInPlace(found, el); err != nil {
		return nil, nil, err
	}
	if signatureOf(el) == nil && in.verified != nil {
		return el, in.signer, nil
	}
	return c.verifySignature(el, expect.IdP.Certificates, expect.Now)
}

// decoy takes the time that a plaintext with a bad signature takes, so that what did
// not open is not told by a quicker answer. Nothing comes of it.
func (c *checks) decoy(expect Expect) {
	if el, _, err := open([]byte(decoyAssertion), messageLimits); err == nil {
		_, _, _ = c.verifySignature(el, expect.IdP.Certificates, expect.Now)
	}
}

// decoyAssertion is of the usual form and length, and signed by nobody.
var decoyAssertion = `<saml:Assertion xmlns:saml="` + nsAssertion + `" ID="_decoy" IssueInstant="2000-01-01T00:00:00Z" Version="2.0"><saml:Issuer>urn:decoy</saml:Issuer>` +
	`<ds:Signature xmlns:ds="` + nsSignature + `"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="` + algExclusive + `"/><ds:SignatureMethod Algorithm="` + dsig.RSASHA256SignatureMethod + `"/>` +
	`<ds:Reference URI="#_decoy"><ds:Transforms><ds:Transform Algorithm="` + algEnveloped + `"/><ds:Transform Algorithm="` + algExclusive + `"/></ds:Transforms>` +
	`<ds:DigestMethod Algorithm="` + digestMethods[0] + `"/><ds:DigestValue>` + strings.Repeat("A", 43) + `=</ds:DigestValue></ds:Reference></ds:SignedInfo>` +
	`<ds:SignatureValue>` + strings.Repeat("A", 342) + `==</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + strings.Repeat("A", 1400) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>` +
	`<saml:AttributeStatement>` + strings.Repeat(`<saml:Attribute Name="decoy"><saml:AttributeValue>decoy</saml:AttributeValue></saml:Attribute>`, 12) + `</saml:AttributeStatement></saml:Assertion>`

// box is what is encrypted, and the keys to it that are encrypted themselves.
type box struct {
	cipher string
	data   []byte
	keys   []boxKey
}

type boxKey struct {
	options rsa.OAEPOptions
	data    []byte
}

// openBox reads what can be read without a key.
func openBox(encrypted *etree.Element) (box, error) {
	data, err := one(encrypted, nsEncryption, "EncryptedData")
	if err != nil {
		return box{}, err
	}
	method, err := one(data, nsEncryption, "EncryptionMethod")
	if err != nil {
		return box{}, err
	}
	b := box{cipher: value(method, "Algorithm")}
	if b.data, err = cipherValue(data); err != nil {
		return box{}, err
	}
	keys := all(encrypted, nsEncryption, "EncryptedKey")
	if info, err := atMostOne(data, nsSignature, "KeyInfo"); err == nil && info != nil {
		keys = append(keys, all(info, nsEncryption, "EncryptedKey")...)
	}
	if len(keys) == 0 || len(keys) > maxDecryptions {
		return box{}, fmt.Errorf("%d EncryptedKeys", len(keys))
	}
	for _, el := range keys {
		key, err := readKey(el)
		if err != nil {
			return box{}, err
		}
		b.keys = append(b.keys, key)
	}
	return b, nil
}

func cipherValue(el *etree.Element) ([]byte, error) {
	data, err := one(el, nsEncryption, "CipherData")
	if err != nil {
		return nil, err
	}
	words, err := one(data, nsEncryption, "CipherValue")
	if err != nil {
		return nil, err
	}
	return decodeText(words)
}

// readKey knows RSA-OAEP alone. PKCS #1 v1.5 tells its padding by what happens next.
func readKey(el *etree.Element) (boxKey, error) {
	method, err := one(el, nsEncryption, "EncryptionMethod")
	if err != nil {
		return boxKey{}, err
	}
	digest, err := atMostOne(method, nsSignature, "DigestMethod")
	if err != nil {
		return boxKey{}, err
	}
	mask, err := atMostOne(method, nsEnc11, "MGF")
	if err != nil {
		return boxKey{}, err
	}
	hash, knowsHash := oaepDigests[algorithmOr(digest)]
	mgf, knowsMask := oaepMasks[algorithmOr(mask)]
	name := value(method, "Algorithm")
	known := name == algOAEP11 || name == algOAEP && mask == nil
	if len(all(method, nsEncryption, "OAEPparams")) > 0 || !known || !knowsHash || !knowsMask {
		return boxKey{}, errors.New("a key encrypted by other means than RSA-OAEP: " + name)
	}
	data, err := cipherValue(el)
	return boxKey{rsa.OAEPOptions{Hash: hash, MGFHash: mgf}, data}, err
}

func algorithmOr(el *etree.Element) string {
	if el == nil {
		return ""
	}
	return value(el, "Algorithm")
}

// open tries our keys on the box's. A key that does not open becomes a key of chance, so that
// the work goes on as with a right one, and fails where a damaged box does.
func (b box) open(keys []*rsa.PrivateKey) ([]byte, error) {
	size, tries := ciphers[b.cipher].size, 0
	for _, theirs := range b.keys {
		for _, ours := range keys {
			if tries++; tries > maxDecryptions {
				return nil, errDecryption
			}
			secret, err := ours.Decrypt(rand.Reader, inRange(theirs.data, ours), &theirs.options)
			if err != nil || len(secret) != size {
				secret = make([]byte, size)
				rand.Read(secret)
			}
			if plaintext, err := b.decrypt(secret); err == nil {
				return plaintext, nil
			}
		}
	}
	return nil, errDecryption
}

// inRange puts another number in place of what cannot be a ciphertext of our key, which
// would be refused before any work was done.
func inRange(data []byte, key *rsa.PrivateKey) []byte {
	if len(data) == key.Size() && new(big.Int).SetBytes(data).Cmp(key.N) < 0 {
		return data
	}
	other := make([]byte, key.Size())
	other[len(other)-1] = 2
	return other
}

func (b box) decrypt(secret []byte) ([]byte, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, errDecryption
	}
	if !ciphers[b.cipher].sealed {
		return openCBC(block, b.data)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil || len(b.data) < gcm.NonceSize() {
		return nil, errDecryption
	}
	return gcm.Open(nil, b.data[:gcm.NonceSize()], b.data[gcm.NonceSize():], nil)
}

// openCBC is for ciphertext that a signature covers: then nobody can ask it questions.
// Of the padding only the last byte says something (XML Encryption, 5.2).
func openCBC(block cipher.Block, data []byte) ([]byte, error) {
	size := block.BlockSize()
	if len(data) < 2*size || len(data)%size != 0 {
		return nil, errDecryption
	}
	data, iv := slices.Clone(data[size:]), data[:size]
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(data, data)
	padding := int(data[len(data)-1])
	if padding == 0 || padding > size {
		return nil, errDecryption
	}
	return data[:len(data)-padding], nil
}
