package saml

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/beevik/etree"
)

// MaxRelayState is the most bytes of a RelayState (SAML bindings, 3.4.3).
const MaxRelayState = 80

// Form is what a page posts to Action by itself: each field with its value.
type Form struct {
	Action string
	Fields [][2]string
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func (m Message) field() string {
	if m.answer {
		return "SAMLResponse"
	}
	return "SAMLRequest"
}

// XML is the message as it is, unsigned.
func (m Message) XML() ([]byte, error) { return serialize(m.root) }

func serialize(root *etree.Element) ([]byte, error) {
	return etree.NewDocumentWithRoot(root.Copy()).WriteToBytes()
}

// Redirect is the address to send the browser to (SAML bindings, 3.4): the message deflated in the
// query, and the query signed, unless there is no signer.
func (m Message) Redirect(relayState string, signer *Signer) (string, error) {
	if len(relayState) > MaxRelayState {
		return "", fmt.Errorf("redirect: RelayState over %d bytes", MaxRelayState)
	}
	data, err := serialize(m.root)
	if err != nil {
		return "", fmt.Errorf("redirect: %w", err)
	}
	packed, err := deflate(data)
	if err != nil {
		return "", fmt.Errorf("redirect: %w", err)
	}
	query := m.field() + "=" + url.QueryEscape(encode(packed))
	if relayState != "" {
		query += "&RelayState=" + url.QueryEscape(relayState)
	}
	if signer != nil {
		if query, err = signer.query(query); err != nil {
			return "", fmt.Errorf("redirect: %w", err)
		}
	}
	separator := "?"
	if strings.Contains(m.Destination, "?") {
		separator = "&"
	}
	return m.Destination + separator + query, nil
}

// query signs the query as it stands.
func (s *Signer) query(query string) (string, error) {
	method, hash, err := s.method()
	if err != nil {
		return "", err
	}
	query += "&SigAlg=" + url.QueryEscape(method)
	h := hash.New()
	h.Write([]byte(query))
	signature, err := s.Key.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		return "", err
	}
	if key, ok := s.Key.Public().(*ecdsa.PublicKey); ok {
		if signature, err = fromDER(signature, key); err != nil {
			return "", err
		}
	}
	return query + "&Signature=" + url.QueryEscape(encode(signature)), nil
}

// Post is the form to post (SAML bindings, 3.5): the message with its signature
// inside, unless there is no signer.
func (m Message) Post(relayState string, signer *Signer) (Form, error) {
	if len(relayState) > MaxRelayState {
		return Form{}, fmt.Errorf("post: RelayState over %d bytes", MaxRelayState)
	}
	root := m.root
	if signer != nil {
		var err error
		if root, err = signer.envelop(root); err != nil {
			return Form{}, fmt.Errorf("post: %w", err)
		}
	}
	data, err := serialize(root)
	if err != nil {
		return Form{}, fmt.Errorf("post: %w", err)
	}
	form := Form{Action: m.Destination, Fields: [][2]string{{m.field(), encode(data)}}}
	if relayState != "" {
		form.Fields = append(form.Fields, [2]string{"RelayState", relayState})
	}
	return form, nil
}

// Decode reads the form field of a message that came by POST: base64, with white
// space in it or not, of at most MaxMessage bytes.
func Decode(field string) ([]byte, error) {
	if len(field) > MaxMessage/3*4+MaxMessage/16 {
		return nil, &Refused{Check: Check{Name: CheckSize, Expected: fmt.Sprintf("at most %d bytes", MaxMessage), Got: fmt.Sprint(len(field))}}
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(field), ""))
	if err != nil || len(data) == 0 {
		return nil, &Refused{Check: Check{Name: CheckXML, Expected: "base64 of XML", Got: "something else"}}
	}
	return data, nil
}

// Incoming is a logout message that was received and not judged yet.
type Incoming struct {
	XML        []byte
	RelayState string
	// Answer says that it came as SAMLResponse.
	Answer bool

	redirect                  bool
	signed, method, signature string // the words of the query that the signature is over
}

// FromPost takes a message in from the fields of a form. Exactly one of the two must be there.
func FromPost(samlRequest, samlResponse, relayState string) (Incoming, error) {
	field, answer := samlRequest, false
	if field == "" {
		field, answer = samlResponse, true
	}
	if field == "" || samlRequest != "" && samlResponse != "" {
		return Incoming{}, refusedBinding("one of SAMLRequest and SAMLResponse")
	}
	data, err := Decode(field)
	return Incoming{XML: data, RelayState: relayState, Answer: answer}, err
}

// FromQuery takes a message in from a query, given as it came: the signature is over
// those very bytes, and encoding them again might yield others.
func FromQuery(rawQuery string) (Incoming, error) {
	raw, err := parameters(rawQuery)
	if err != nil {
		return Incoming{}, err
	}
	name := "SAMLRequest"
	if _, ok := raw[name]; !ok {
		name = "SAMLResponse"
	}
	_, both := raw["SAMLResponse"]
	if _, ok := raw[name]; !ok || name == "SAMLRequest" && both {
		return Incoming{}, refusedBinding("one of SAMLRequest and SAMLResponse")
	}
	in := Incoming{redirect: true, Answer: name == "SAMLResponse", signed: name + "=" + raw[name]}
	values := map[string]string{}
	for key, escaped := range raw {
		if values[key], err = url.QueryUnescape(escaped); err != nil {
			return Incoming{}, refusedBinding("a query that can be read")
		}
	}
	if encoding, ok := values["SAMLEncoding"]; ok && encoding != "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE" {
		return Incoming{}, refusedBinding("DEFLATE")
	}
	packed, err := base64.StdEncoding.DecodeString(values[name])
	if err != nil {
		return Incoming{}, refusedBinding("base64")
	}
	if in.XML, err = inflate(packed); err != nil {
		return Incoming{}, refusedBinding(fmt.Sprintf("deflated XML of at most %d bytes", MaxMessage))
	}
	if escaped, ok := raw["RelayState"]; ok {
		in.RelayState = values["RelayState"]
		in.signed += "&RelayState=" + escaped
	}
	in.method, in.signature = values["SigAlg"], values["Signature"]
	in.signed += "&SigAlg=" + raw["SigAlg"]
	return in, nil
}

// parameters are the query's that the binding knows, still escaped, each at most once.
func parameters(rawQuery string) (map[string]string, error) {
	if len(rawQuery) > MaxMessage {
		return nil, refusedBinding("a shorter query")
	}
	found := map[string]string{}
	for part := range strings.SplitSeq(rawQuery, "&") {
		key, escaped, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(key)
		if err != nil {
			continue // not one of ours
		}
		switch name {
		case "SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding":
			if _, twice := found[name]; twice || name != key {
				return nil, refusedBinding("each parameter once, under its own name")
			}
			found[name] = escaped
		}
	}
	return found, nil
}

func refusedBinding(expected string) error {
	return &Refused{Check: Check{Name: CheckBinding, Expected: expected, Got: "something else"}}
}

// checkQuery verifies the signature of a query by one of the pinned certificates.
func (c *checks) checkQuery(in Incoming, expect LogoutExpect) error {
	kind, known := signatureMethods[in.method]
	if !c.add(CheckAlgorithm, known, "RSA or ECDSA with SHA-256 or longer", in.method) {
		return c.err()
	}
	usable, err := c.usable(expect.IdP.Certificates, kind, expect.Now, "no certificate")
	if err != nil {
		return err
	}
	signature, err := base64.StdEncoding.DecodeString(in.signature)
	if err != nil {
		return c.refuse(CheckSignature, "base64", "something else")
	}
	for _, certificate := range usable {
		raw := signature
		if key, ok := certificate.PublicKey.(*ecdsa.PublicKey); ok {
			if raw, err = toDER(signature, key); err != nil {
				continue
			}
		}
		if certificate.CheckSignature(x509Methods[in.method], []byte(in.signed), raw) == nil {
			c.add(CheckSignature, true, "a signature by a pinned certificate", Fingerprint(certificate))
			return nil
		}
	}
	return c.refuse(CheckSignature, "a signature of the query by "+fingerprints(usable), "another's, or of other words")
}

func deflate(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

// inflate stops where a message would be too long, however small it came.
func inflate(packed []byte) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(packed))
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(r, MaxMessage+1)); err != nil {
		return nil, err
	}
	if b.Len() > MaxMessage {
		return nil, errTooBig
	}
	if b.Len() == 0 {
		return nil, errors.New("empty")
	}
	return b.Bytes(), nil
}
